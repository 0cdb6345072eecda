// Fails where the committed client types or the committed build are not what the sources give.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";

const web = join(import.meta.dirname, "..");
const scratch = mkdtempSync(join(tmpdir(), "pneumoscope-web-"));

const run = (tool, ...args) =>
  execFileSync(join(web, "node_modules", ".bin", tool), args, { cwd: web, stdio: "pipe" });

const contents = (folder) =>
  new Map(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((file) => [relative(folder, file), readFileSync(file)]),
  );

function differences(committed, made) {
  const names = new Set([...committed.keys(), ...made.keys()]);
  return [...names].filter((name) => {
    const [a, b] = [committed.get(name), made.get(name)];
    return !(a && b && a.equals(b));
  });
}

try {
  const types = join(scratch, "schema.d.ts");
  run("openapi-typescript", "../openapi.yaml", "--output", types, "--alphabetize");
  run("vite", "build", "--outDir", join(scratch, "page"), "--emptyOutDir", "--logLevel", "error");
  const stale = differences(
    contents(join(web, "..", "service", "page")),
    contents(join(scratch, "page")),
  );
  const committed = readFileSync(join(web, "src", "api", "schema.d.ts"));
  if (!committed.equals(readFileSync(types))) stale.push("src/api/schema.d.ts: npm run generate");
  for (const name of stale) console.error(`not current: ${name}`);
  process.exitCode = stale.length > 0 ? 1 : 0;
} finally {
  rmSync(scratch, { recursive: true });
}
