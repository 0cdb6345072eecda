import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { defineConfig, type Plugin } from "vite";

const ROOT = import.meta.dirname;
const SOURCES = [
  "index.html",
  "notices",
  "package-lock.json",
  "package.json",
  "src",
  "vite.config.ts",
];

function filesBelow(path: string): string[] {
  const entries = readdirSync(path, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/**
 * One line for each source: digest and path, so that a check without Node sees a stale build.
 * Unit tests are no sources.
 */
function sourceDigests(): string {
  const files = SOURCES.flatMap((name) =>
    name.includes(".") ? [join(ROOT, name)] : filesBelow(join(ROOT, name)),
  ).filter((file) => !file.endsWith(".test.ts"));
  const lines = files.map((file) => {
    const digest = createHash("sha256").update(readFileSync(file)).digest("hex");
    return `${digest}  ${relative(ROOT, file).split(sep).join("/")}`;
  });
  return `${lines.sort((a, b) => (a.slice(66) < b.slice(66) ? -1 : 1)).join("\n")}\n`;
}

interface Locked {
  readonly packages: Record<
    string,
    { readonly dev?: boolean; readonly version?: string; readonly license?: string }
  >;
}

/** The notices of everything that the build contains; the workers and decoders are part of it. */
function licences(): string {
  const lock = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")) as Locked;
  const shipped = Object.entries(lock.packages).filter(([path, { dev }]) => path !== "" && !dev);
  const notices = shipped.map(([path, { version, license }]) => {
    const title = `${path.replace("node_modules/", "")} ${version} (${license})`;
    const file = readdirSync(join(ROOT, path)).find((name) => /^licen[cs]e/i.test(name));
    return file ? `${title}\n\n${readFileSync(join(ROOT, path, file), "utf8").trim()}` : title;
  });
  const own = filesBelow(join(ROOT, "notices")).sort();
  notices.push(...own.map((file) => readFileSync(file, "utf8").trim()));
  return `${notices.join(`\n\n${"-".repeat(72)}\n\n`)}\n`;
}

const recordSources: Plugin = {
  name: "record-sources",
  generateBundle() {
    this.emitFile({ type: "asset", fileName: "sources.sha256", source: sourceDigests() });
    this.emitFile({ type: "asset", fileName: "licences.txt", source: licences() });
  },
};

export default defineConfig({
  // Relative addresses let the service stand behind a proxy's path prefix.
  base: "./",
  plugins: [recordSources],
  build: {
    // The service serves it from its package.
    outDir: "../service/page",
    emptyOutDir: true,
    target: ["chrome123", "firefox121", "safari17.5"],
    // A data: address would need a wider Content-Security-Policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 400,
  },
  worker: { format: "es" },
  server: { proxy: { "^/(predict|health|models)": "http://127.0.0.1:8000" } },
});
