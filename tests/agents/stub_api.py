#!/usr/bin/env python3
"""A model that is none: stands in for the APIs of Anthropic (messages), OpenAI (responses) and Gemini
(generateContent), so that the real agents run without an account and do the same each time.

It looks for the last line of the last thing a person said that begins with one of these words:

    run: COMMAND      the agent is asked to run COMMAND with its own shell tool; what came of it ends the turn
    slow: SECONDS     the answer comes after so long
    say: WORDS        the answer is "Heard: WORDS" (so is any other line's)

What it was asked is kept, one JSON object a line, in the file given: {"api", "path", "users": [what
people said], "result": what a tool gave last, "tools": how many there are,
"last": the last two entries as they came, "answer"}.
Nothing here is stored for longer, nothing is random, and nobody but this machine is listened to.

usage: stub_api.py LOG    prints the port it listens on (127.0.0.1), and serves until it is ended
"""

import http.server
import json
import re
import sys
import threading
import time

SHELLS = ("Bash", "exec_command", "shell_command", "shell", "run_shell_command")
ORDER = re.compile(r"^\s*(?:>\s*)?(run|slow|say): (.+?)\s*$", re.MULTILINE)
LONGEST_WAIT = 60.0


def texts(content):
    """The pieces of text in what an API calls content."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return []
    return [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]


class Asked:
    """One request, whichever API it came by: what people said, whether a tool's result came last, which tools exist."""

    def __init__(self, api):
        self.api, self.users, self.result, self.tools = api, [], None, []

    def said(self, pieces):
        said = "\n".join(pieces)
        if said:
            self.users.append(said)
            self.result = None

    def order(self):
        """The last order that somebody gave: (verb, words). None if the last that was said holds none."""
        found = ORDER.findall(self.users[-1]) if self.users else []
        return found[-1] if found else None


def anthropic(body):
    asked = Asked("anthropic")
    asked.tools = [tool.get("name") for tool in body.get("tools") or []]
    for message in body.get("messages") or []:
        if message.get("role") != "user":
            continue
        content = message.get("content")
        asked.said(texts(content))
        for part in content if isinstance(content, list) else []:
            if isinstance(part, dict) and part.get("type") == "tool_result":
                asked.result = "\n".join(texts(part.get("content")))
    return asked


def openai(body):
    asked = Asked("openai")
    asked.tools = [tool.get("name") or tool.get("type") for tool in body.get("tools") or []]
    items = body.get("input") or []
    for item in [{"role": "user", "content": items}] if isinstance(items, str) else items:
        if str(item.get("type", "")).endswith("_call_output"):
            output = item.get("output")
            asked.result = output if isinstance(output, str) else "\n".join(texts(output)) or json.dumps(output)
        elif item.get("role") == "user":
            asked.said(texts(item.get("content")))
    return asked


def gemini(body):
    asked = Asked("gemini")
    for tool in body.get("tools") or []:
        asked.tools += [function.get("name") for function in tool.get("functionDeclarations") or []]
    for content in body.get("contents") or []:
        parts = content.get("parts") or []
        if content.get("role") == "user":
            asked.said(texts(parts))
        for part in parts:
            if "functionResponse" in part:
                answer = part["functionResponse"].get("response") or {}
                asked.result = str(answer.get("output") or answer.get("error") or answer)
    return asked


def last(body):
    """The end of the conversation as it came, whatever an agent calls those who speak there."""
    entries = body.get("messages") or body.get("contents") or body.get("input") or []
    return json.dumps(entries[-2:])[-4000:]


def answer(asked):
    """What the model does: ("text", words) or ("tool", name, arguments)."""
    if asked.result is not None:
        return "text", "The command is done."
    order = asked.order()
    if order is None:
        return "text", "Heard."
    verb, words = order
    shell = next((name for name in SHELLS if name in asked.tools), None)
    if verb == "run" and shell:
        arguments = {
            "exec_command": {"cmd": words},
            "shell": {"command": ["bash", "-c", words]},
            "shell_command": {"command": words},
        }.get(shell, {"command": words, "description": "what the test asked for"})
        return "tool", shell, arguments
    return "text", f"Heard: {words}"


def wait_of(asked):
    """Seconds that the answer to this takes."""
    verb, words = asked.order() or ("", "")
    seconds = re.match(r"[0-9.]+", words) if verb == "slow" else None
    return min(float(seconds.group()), LONGEST_WAIT) if seconds else 0.0


class Numbers:
    """Ids that tell answers apart."""

    def __init__(self):
        self.last, self.lock = 0, threading.Lock()

    def next(self):
        with self.lock:
            self.last += 1
            return f"{self.last:08d}"


class Log:
    """What was asked, for the test to read."""

    def __init__(self, path):
        self.file, self.lock = open(path, "a", encoding="utf-8"), threading.Lock()

    def write(self, entry):
        with self.lock:
            self.file.write(json.dumps(entry) + "\n")
            self.file.flush()


NUMBERS = Numbers()
LOG = None


def anthropic_events(body, act):
    number = NUMBERS.next()
    if act[0] == "text":
        begun, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": act[1]}
        whole, stop = {"type": "text", "text": act[1]}, "end_turn"
    else:
        begun = {"type": "tool_use", "id": f"toolu_{number}", "name": act[1], "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(act[2])}
        whole, stop = {**begun, "input": act[2]}, "tool_use"
    message = {
        "id": f"msg_{number}", "type": "message", "role": "assistant", "model": body.get("model"),
        "stop_sequence": None, "usage": {"input_tokens": 20, "output_tokens": 5},
    }
    if not body.get("stream"):
        return None, {**message, "content": [whole], "stop_reason": stop}
    return [
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": begun},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    ], None


def openai_events(_body, act):
    number = NUMBERS.next()
    if act[0] == "text":
        part = {"type": "output_text", "text": act[1], "annotations": []}
        item = {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed", "content": [part]}
    else:
        item = {
            "type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "status": "completed",
            "name": act[1], "arguments": json.dumps(act[2]),
        }
    usage = {
        "input_tokens": 20, "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 25,
    }
    response = {"id": f"resp_{number}", "object": "response"}
    done = {**response, "status": "completed", "output": [item], "usage": usage}
    return [
        {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": done},
    ], None


def gemini_events(_body, act):
    part = {"text": act[1]} if act[0] == "text" else {"functionCall": {"name": act[1], "args": act[2]}}
    chunk = {
        "candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [part]}}],
        "usageMetadata": {"promptTokenCount": 20, "candidatesTokenCount": 5, "totalTokenCount": 25},
        "modelVersion": "stand-in",
    }
    return [chunk], chunk


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def plain(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def events(self, events, named):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for event in events:
            name = f"event: {event['type']}\n" if named else ""
            self.wfile.write(f"{name}data: {json.dumps(event)}\n\n".encode())
            self.wfile.flush()
        self.close_connection = True

    def do_GET(self):
        LOG.write({"api": "other", "path": self.path, "users": [], "answer": None})
        self.plain({"data": [], "models": []})

    do_HEAD = do_GET

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.split("?")[0]
        try:
            body = json.loads(raw or b"{}")
        except ValueError:
            return self.plain({"error": {"message": "not JSON"}}, 400)
        low = path.lower()
        if low.endswith("/messages"):
            asked, events = anthropic(body), anthropic_events
        elif low.endswith("/responses"):
            asked, events = openai(body), openai_events
        elif low.endswith("generatecontent"):
            asked, events = gemini(body), gemini_events
        else:
            LOG.write({"api": "other", "path": self.path, "users": [], "answer": None})
            return self.plain({"input_tokens": 20, "totalTokens": 20})
        act = answer(asked)
        LOG.write({"api": asked.api, "path": self.path, "users": asked.users, "result": asked.result,
                   "tools": len(asked.tools), "last": last(body), "answer": act})
        time.sleep(wait_of(asked))
        streamed, whole = events(body, act)
        if streamed is None or low.endswith(":generatecontent"):
            return self.plain(whole)
        return self.events(streamed, named=asked.api != "gemini")


def main():
    global LOG
    if len(sys.argv) != 2:
        sys.exit("usage: stub_api.py LOG")
    LOG = Log(sys.argv[1])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
