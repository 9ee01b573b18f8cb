#!/usr/bin/env python3
"""Real agents on real terminals under a real daemon: what a person does with a session, done with each of them, against
the stand-in of stub_api.py. `run` prepares what is needed here and calls this; it prints one line for each check.

usage: play.py --exe TELECLAUDE --bin FOLDER-OF-THE-AGENTS --log FOLDER [--write-expected] [AGENT...]
"""

import argparse
import difflib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
AGENTS = ("claude", "codex", "gemini")
# Which API each speaks.
APIS = {"claude": "anthropic", "codex": "openai", "gemini": "gemini"}
# Whose restricted profile needs nothing but the agent: Gemini's wants a container to put its commands in.
RESTRICTED = ("claude", "codex")
# Who asks before it acts, in that profile, against a model that never says that it wants to be asked.
ASKS = ("claude",)
# Who asks whether a new folder is to be trusted, and by what word this is known again.
ASKS_FOR_TRUST = {"claude": "safety check", "gemini": "Do you trust the files"}
# Longer than anything here takes on a busy machine; only a hang reaches it.
PATIENCE = 45.0
KEY = "not-a-real-key-0123456789-abcdefghij"

FIRST = "say: the first words"
SECOND = "say: the second words"
RESUMED = "say: words after the resumption"


class Failed(Exception):
    """A check that the rest of an agent's story cannot do without."""


class Report:
    """What was checked, and what was seen."""

    def __init__(self, path):
        self.file, self.failed, self.passed, self.began = open(path, "w", encoding="utf-8"), [], 0, time.monotonic()

    def line(self, text):
        print(text, flush=True)
        self.file.write(text + "\n")
        self.file.flush()

    def check(self, name, so, saw=""):
        self.line(f"{'ok  ' if so else 'FAIL'} {time.monotonic() - self.began:6.1f}s {name}{': ' if saw else ''}{saw}")
        if so:
            self.passed += 1
        else:
            self.failed.append(name)
        return so

    def need(self, name, so, saw=""):
        if not self.check(name, so, saw):
            raise Failed(name)


def until(look, patience=PATIENCE):
    """Looks until it is so, and gives what was seen; what was seen last, if it never came to be so."""
    deadline = time.monotonic() + patience
    while True:
        seen = look()
        if seen or time.monotonic() >= deadline:
            return seen
        time.sleep(0.1)


def processes(needle):
    """Pids of the processes that have this in their environment, with what they are."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            environment = pathlib.Path("/proc", entry, "environ").read_bytes().split(b"\0")
            if needle.encode() in environment:
                line = pathlib.Path("/proc", entry, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found[int(entry)] = line.strip()
        except OSError:
            continue
    return found


class World:
    """A home of its own, the stand-in, and the daemon."""

    def __init__(self, exe, binaries, log, report):
        self.exe, self.binaries, self.log, self.report = exe, binaries, log, report
        # Short, since a socket's path is limited.
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="tca", dir="/tmp")).resolve()
        self.project = self.home / "work"
        self.project.mkdir()
        self.asked_path = log / "asked.jsonl"
        self.asked_path.write_text("")
        self.stub = subprocess.Popen(
            [sys.executable, str(HERE / "stub_api.py"), str(self.asked_path)], stdout=subprocess.PIPE, text=True
        )
        self.url = f"http://127.0.0.1:{int(self.stub.stdout.readline())}"
        self.daemon = None
        self.daemon_log = open(log / "daemon.log", "w", encoding="utf-8")
        # Nothing of the person's who runs this but what programs need to be found.
        self.env = {
            "HOME": str(self.home),
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": self.url,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "OPENAI_API_KEY": KEY,
            "GEMINI_API_KEY": KEY,
            "GOOGLE_GEMINI_BASE_URL": self.url,
            "GEMINI_CLI_NO_RELAUNCH": "1",
        }
        if os.geteuid() == 0:
            # Claude Code lets root skip its questions only where it is told that nothing can be broken.
            self.env["IS_SANDBOX"] = "1"
        self.prepare_agents()
        self.configure("full")

    def write(self, path, text):
        path = self.home / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def prepare_agents(self):
        """Each agent as somebody left it who has used it before: key known, folder trusted, no news to show."""
        project = str(self.project)
        self.write(".claude.json", json.dumps({
            "hasCompletedOnboarding": True,
            "lastOnboardingVersion": "99.0.0",
            "theme": "dark",
            "customApiKeyResponses": {"approved": [KEY[-20:]], "rejected": []},
            "projects": {project: {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}},
        }))
        self.write(".claude/settings.json", json.dumps({"skipDangerousModePermissionPrompt": True}))
        self.write(".codex/config.toml", f"""
model = "stand-in"
model_provider = "stand-in"
check_for_update_on_startup = false

[model_providers.stand-in]
name = "stand-in"
base_url = "{self.url}/v1"
wire_api = "responses"
env_key = "OPENAI_API_KEY"
request_max_retries = 1
stream_max_retries = 1
supports_websockets = false

[projects."{project}"]
trust_level = "trusted"
""")
        self.write(".gemini/settings.json", json.dumps({
            "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": True}},
            "general": {"disableAutoUpdate": True, "disableUpdateNag": True},
            "privacy": {"usageStatisticsEnabled": False},
            "telemetry": {"enabled": False},
            "ui": {"hideTips": True},
        }))
        self.write(".gemini/trustedFolders.json", json.dumps({project: "TRUST_FOLDER"}))

    def configure(self, profile):
        self.write(".config/teleclaude/config.yml", f"""
roles: {{ admin: {{ profile: {profile}, requests_per_minute: 100000, burst: 10000 }} }}
agents:
  claude:
    env: [ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL, CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC, DISABLE_AUTOUPDATER, IS_SANDBOX]
  gemini:
    env: [GEMINI_API_KEY, GOOGLE_GEMINI_BASE_URL, GEMINI_CLI_NO_RELAUNCH]
""")

    # --- the daemon

    def start_daemon(self):
        self.daemon = subprocess.Popen(
            [self.exe, "daemon"], env=self.env, cwd=self.home, stdin=subprocess.DEVNULL,
            stdout=self.daemon_log, stderr=self.daemon_log, start_new_session=True,
        )
        return until(lambda: self.run("whoami").returncode == 0)

    def kill_daemon(self):
        self.daemon.send_signal(signal.SIGKILL)
        self.daemon.wait()

    def run(self, *args):
        return subprocess.run(
            [self.exe, *args], env=self.env, cwd=self.project, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=PATIENCE, check=False,
        )

    def ask(self, *args):
        """What a command says with --json; {} with the reason where it fails."""
        done = self.run(*args, "--json")
        try:
            return json.loads(done.stdout) if done.returncode == 0 else {"failed": done.stderr.strip()}
        except ValueError:
            return {"failed": done.stdout.strip()}

    def close(self):
        self.run("sessions", "end", "--all", "--yes")
        if self.daemon is not None and self.daemon.poll() is None:
            self.daemon.terminate()
            try:
                self.daemon.wait(15)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
        self.stub.terminate()
        self.stub.wait()
        left = until_none(lambda: processes(f"HOME={self.home}"), 10)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for path in self.home.glob("**/*.cast"):
            shutil.copy(path, self.log)
        shutil.rmtree(self.home, ignore_errors=True)
        return left


def until_none(look, patience=PATIENCE):
    """Looks until nothing is there any more, and gives what is."""
    deadline = time.monotonic() + patience
    while True:
        seen = look()
        if not seen or time.monotonic() >= deadline:
            return seen
        time.sleep(0.1)


class Story:
    """One agent's session from its start to its last end."""

    def __init__(self, world, report, agent, write_expected):
        self.world, self.report, self.agent, self.write_expected = world, report, agent, write_expected
        self.id = None

    # --- looking

    def check(self, name, so, saw=""):
        return self.report.check(f"{self.agent}: {name}", so, saw)

    def need(self, name, so, saw=""):
        self.report.need(f"{self.agent}: {name}", so, saw)

    def session(self):
        return self.world.ask("sessions", "show", self.id)

    def status(self, wanted):
        row = until(lambda: (lambda r: r if r.get("status") == wanted else None)(self.session()))
        return row or self.session()

    def activity(self, wanted, patience=PATIENCE):
        return bool(until(lambda: self.session().get("activity") == wanted, patience))

    def transcript(self):
        return self.world.run("transcript", self.id, "--all").stdout

    def shown(self, words):
        """Waits until the transcript holds these words; the transcript."""
        until(lambda: words in self.transcript())
        return self.transcript()

    def asked(self, words):
        """The first request to the model in which a person says this last."""
        for line in self.world.asked_path.read_text().splitlines():
            entry = json.loads(line)
            # One without tools is about a title or the like.
            if entry["api"] != APIS[self.agent] or not entry["users"] or not entry["tools"]:
                continue
            if words in entry["users"][-1] or words in entry["last"]:
                return entry
        return None

    def living(self):
        return processes(f"TELECLAUDE_SESSION={self.id}")

    def send(self, words):
        return self.world.ask("sessions", "send", self.id, words)

    # --- the parts

    def play(self):
        self.world.configure("full")
        self.world.run("reload")
        self.start()
        self.tool()
        self.busy_and_killed()
        self.compare()
        self.end("the first run")
        self.resume()
        if self.agent in ASKS:
            self.answer()
        self.end("the second run")
        if self.agent in ASKS_FOR_TRUST:
            self.trust()

    def start(self):
        reply = self.world.ask("sessions", "start", self.agent, "--project", str(self.world.project), FIRST)
        self.id = reply.get("session", reply).get("session_id")
        self.need("a session starts", bool(self.id), self.id or str(reply))
        row = self.status("running")
        self.need("it runs", row.get("status") == "running", f"{row.get('status')} {row.get('exit') or ''}")
        self.need("the first message reaches the model", bool(until(lambda: self.asked(FIRST))), FIRST)
        words = "Heard: the first words"
        self.need("its answer is in the transcript", words in self.shown(words), words)
        self.check("it is idle then", self.activity("idle"))

    def tool(self):
        made = self.world.project / f"made-by-{self.agent}"
        self.send(f"run: echo here >{made.name} && echo the tool says hello && sleep 1")
        self.need("a tool call really happens", bool(until(made.exists)), str(made.name))
        words = "The command is done."
        text = self.shown(words)
        self.check("what the tool said is in the transcript", words in text and "the tool says hello" in text)
        self.send(SECOND)
        words = "Heard: the second words"
        self.need("a second message is answered", words in self.shown(words), words)

    def busy_and_killed(self):
        self.activity("idle")
        before = self.living()
        self.send("slow: 6 seconds later")
        asked = until(lambda: self.asked("slow: 6 seconds later"))
        self.check("a slow answer is waited for", bool(asked))
        self.check("it is busy meanwhile", self.activity("busy", 5))
        self.world.kill_daemon()
        after = self.living()
        lives = bool(before) and set(before) <= set(after)
        self.need("kill -9 of the daemon leaves it alive", lives, f"{len(after)} processes")
        self.need("the daemon comes back", self.world.start_daemon())
        row = self.status("running")
        self.check("the session still runs", row.get("status") == "running", str(row.get("status")))
        words = "Heard: 6 seconds later"
        text = self.shown(words)
        once = all(text.count(w) == 1 for w in ("Heard: the first words", "Heard: the second words", words))
        self.check("the transcript is complete, each answer once", once, f"{len(text)} characters")
        self.check("it is idle again", self.activity("idle"))

    def normalised(self, text):
        text = text.replace(str(self.world.home), "HOME").replace(self.id, "SESSION")
        text = re.sub(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "ID", text)
        text = re.sub(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?", "TIME", text)
        text = re.sub(r"\b\d\d:\d\d(:\d\d)?Z?\b", "TIME", text)
        text = re.sub(r"Chunk ID: [0-9a-f]+", "Chunk ID: ID", text)
        text = re.sub(r"Wall time: [0-9.]+ seconds", "Wall time: N seconds", text)
        return re.sub(r"PGID: \d+", "PGID: N", text)

    def compare(self):
        text = self.normalised(self.transcript())
        path = HERE / "expected" / f"{self.agent}.md"
        if self.write_expected:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        expected = path.read_text() if path.exists() else ""
        same = self.check("the transcript is the expected text", text == expected, path.name)
        if not same:
            lines = difflib.unified_diff(expected.splitlines(), text.splitlines(), "expected", "seen", lineterm="")
            for line in lines:
                self.report.line(f"     {line}")

    def end(self, which):
        tree = self.living()
        self.world.run("sessions", "end", self.id)
        row = self.status("ended")
        self.check(f"{which} ends", row.get("status") == "ended", f"{row.get('exit')}")
        left = until_none(self.living, 10)
        still = [pid for pid in tree if pid in processes(f"HOME={self.world.home}")]
        self.check("no process of it is left", not left and not still, f"of {len(tree)}: {left or still or 0} left")

    def resume(self):
        if self.agent in RESTRICTED:
            # It runs on under what its owner may do today.
            self.world.configure("restricted")
            reloaded = self.world.run("reload")
            self.need("the config of today is in force", reloaded.returncode == 0, reloaded.stderr.strip())
        native = self.session().get("native_session_id")
        self.need("the agent's own session is known", bool(native), str(native))
        reply = self.world.run("sessions", "resume", self.id)
        self.need("it is resumed", reply.returncode == 0, reply.stderr.strip())
        row = self.status("running")
        self.need("the same session runs again", row.get("status") == "running", f"{row.get('exit') or self.id}")
        profile = "restricted" if self.agent in RESTRICTED else "full"
        self.check("under the profile of today", row.get("profile") == profile, str(row.get("profile")))
        self.send(RESUMED)
        asked = until(lambda: self.asked(RESUMED))
        self.need("a message reaches the resumed agent", bool(asked), RESUMED)
        before = "\n".join(asked["users"][:-1])
        self.check("the model is told the conversation before", "the first words" in before and "the second words" in before,
                   f"{len(asked['users'])} messages of the person")
        words = "Heard: words after the resumption"
        text = self.shown(words)
        whole = text.count("Heard: the first words") == 1 and text.count(words) == 1
        self.check("one transcript holds both runs", whole, f"{len(text)} characters")
        row = self.session()
        same = row.get("native_session_id") == native
        self.check("the agent's own session is still the same", same, str(row.get("native_session_id")))

    def answer(self):
        """It asks before it acts: seen, still there for the next daemon, answered once, and done."""
        made = self.world.project / f"allowed-by-{self.agent}"
        self.send(f"run: echo it was allowed >{made.name}")
        self.need("it needs an answer", self.activity("needs_input"), str(self.session().get("activity")))
        rows = until(lambda: self.session().get("needs_input")) or [{}]
        self.need("what it asks is told", made.name in rows[0].get("asked", ""), rows[0].get("asked", "nothing")[:80])
        listed = self.world.run("sessions", "list").stdout
        self.check("nothing of it is in the list", made.name not in listed and "needs_input" in listed)
        self.send("say: words that are no answer")
        self.world.kill_daemon()
        self.need("the daemon comes back", self.world.start_daemon())
        again = until(lambda: self.session().get("needs_input")) or [{}]
        self.check("it is still asked after kill -9", again[0].get("request_id") == rows[0].get("request_id"))
        early = until(lambda: made.exists() or self.asked("words that are no answer"), 3)
        self.check("a message is no answer", not early)
        done = self.world.run("sessions", "answer", self.id, "yes")
        self.need("it is answered", done.returncode == 0, (done.stdout + done.stderr).strip())
        self.need("then it acts", bool(until(made.exists)), made.name)
        twice = self.world.run("sessions", "answer", self.id, "yes", "--request", str(rows[0].get("request_id")))
        self.check("it is answered once", twice.returncode != 0, twice.stderr.strip().splitlines()[0] if twice.stderr else "")
        # The agent may put it into the turn that goes on.
        self.check("the message comes after it", bool(until(lambda: self.asked("words that are no answer"))))
        self.check("it asks nothing more", self.activity("idle") and not self.session().get("needs_input"))

    def trust(self):
        """What somebody wrote for the agent is no answer to what the agent asks before it begins."""
        folder = self.world.home / f"new-to-{self.agent}"
        folder.mkdir()
        words = "say: yes to nothing"
        reply = self.world.ask("sessions", "start", self.agent, "--project", str(folder), words)
        self.id = reply.get("session", reply).get("session_id")
        question = ASKS_FOR_TRUST[self.agent]
        self.need("it asks whether to trust a new folder", bool(until(lambda: question in self.recorded())), question)
        # Time enough to type the message and to press Enter after it.
        answered = until(lambda: self.asked(words) or self.trusts(folder) or self.session().get("status") == "ended", 4)
        self.check("the first message is not taken for the answer", not answered, str(answered or "nobody trusts it"))
        self.end("that session")

    def recorded(self):
        """What the terminal showed, without what moves the cursor: blanks may be such movements."""
        for path in self.world.home.glob(f"**/{self.id}.cast"):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            events = [json.loads(line) for line in lines[1:] if line.endswith("]")]
            shown = "".join(data for _, code, data in events if code == "o")
            return re.sub(r"\x1b\[\d*[CG]", " ", shown)
        return ""

    def trusts(self, folder):
        """Whether the agent was told that a folder may be trusted."""
        if self.agent == "gemini":
            return str(folder) in (self.world.home / ".gemini/trustedFolders.json").read_text()
        known = json.loads((self.world.home / ".claude.json").read_text())["projects"].get(str(folder), {})
        return known.get("hasTrustDialogAccepted", False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exe", required=True)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--log", required=True, type=pathlib.Path)
    parser.add_argument("--write-expected", action="store_true", help="keep the transcripts seen as the expected ones")
    parser.add_argument("agents", nargs="*", default=[], metavar="AGENT")
    args = parser.parse_args()
    args.log.mkdir(parents=True, exist_ok=True)
    report = Report(args.log / "report.txt")
    world = World(args.exe, args.bin, args.log, report)
    try:
        report.need("the daemon starts", world.start_daemon())
        for agent in args.agents or AGENTS:
            story = Story(world, report, agent, args.write_expected)
            try:
                story.play()
            except Failed as failed:
                report.line(f"     the rest of {agent}'s story was not played: {failed}")
                if story.id:
                    (args.log / f"{agent}-screen.txt").write_text(story.transcript())
    except Failed:
        pass
    finally:
        left = world.close()
        report.check("nothing is left at the end", not left, str(left or ""))
    seconds = time.monotonic() - report.began
    report.line(f"{report.passed} checks passed, {len(report.failed)} failed, in {seconds:.0f} s; logs: {args.log}")
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
