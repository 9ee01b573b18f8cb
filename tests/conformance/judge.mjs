// Judges one run of the conformance suite by not-applicable.md: judge.mjs LIST REVISION OUTPUT-FOLDER. A scenario or
// check that the list names must fail or warn; every other one must do neither. Exit code 0 or 1.
// In each scenario, named or not, the suite also checks all that we said against MCP's schema: that always applies.
import fs from "node:fs";
import path from "node:path";

const SCHEMA = "wire-schema-valid";
const [list, revision, folder] = process.argv.slice(2);

const rows = fs
  .readFileSync(list, "utf8")
  .split("\n")
  .map((line) => /^\| `([^`:]+)(?::([^`]+))?` \| ([^|]+) \| *\S/.exec(line))
  .filter((row) => row?.[3].split(" ").includes(revision))
  .map(([, scenario, check]) => ({ scenario, check, name: check ? `${scenario}:${check}` : scenario }));

// Each scenario leaves a folder server-NAME-TIME with its checks.
const runs = new Map(
  fs.readdirSync(folder).map((name) => {
    const scenario = /^server-(.+)-\d{4}-\d\d-\d\dT.*$/.exec(name)?.[1] ?? name;
    return [scenario, JSON.parse(fs.readFileSync(path.join(folder, name, "checks.json"), "utf8"))];
  }),
);

const problems = [];
const flawed = (check) => check.status === "FAILURE" || check.status === "WARNING";
for (const { scenario, check, name } of rows) {
  const checks = runs.get(scenario);
  const named = check === undefined ? checks?.filter((one) => one.id !== SCHEMA) : checks?.filter((one) => one.id === check);
  if (!named?.length) problems.push(`${name}: ${list} names it, and ${revision} does not have it`);
  else if (!named.some(flawed)) problems.push(`${name}: passes, and ${list} says that it does not apply`);
}
const counts = { scenarios: 0, checks: 0 };
for (const [scenario, checks] of runs) {
  const named = rows.some((row) => row.name === scenario);
  const judged = checks.filter((one) =>
    named ? one.id === SCHEMA : !rows.some((row) => row.name === `${scenario}:${one.id}`),
  );
  for (const one of judged.filter(flawed)) {
    problems.push(`${scenario}:${one.id}: ${one.status}: ${one.errorMessage ?? one.description}`);
  }
  counts.checks += judged.filter((one) => one.status === "SUCCESS").length;
  if (named) continue;
  counts.scenarios += 1;
  console.log(`  ${judged.some(flawed) ? "FAILED" : "passed"}  ${scenario}`);
}
if (counts.checks === 0) problems.push("the suite checked nothing");
for (const problem of problems) console.log(`  ! ${problem}`);
console.log(
  `${revision}: ${counts.scenarios} scenarios apply (${counts.checks} checks passed), ` +
    `${rows.length} rows do not, ${problems.length} problems`,
);
process.exitCode = problems.length === 0 ? 0 : 1;
