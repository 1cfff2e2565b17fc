// Bundles the console and the explorer into the folder named on the command line (default: built).
// Every asset has a hash of its content in its name, so that it can be cached permanently.

import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { build } from "esbuild";

const [out = "built"] = process.argv.slice(2);
const assets = join(out, "assets");

const common = {
  bundle: true,
  minify: true,
  metafile: true,
  target: ["es2022", "chrome116", "firefox124", "safari17.4"],
  outdir: assets,
  entryNames: "[name]-[hash]",
  chunkNames: "part-[hash]",
  assetNames: "[name]-[hash]",
  legalComments: "none", // their licences are in third-party-licences.txt
  loader: { ".ttf": "file", ".svg": "file" },
  define: { "process.env.NODE_ENV": '"production"' },
  logLevel: "error",
};

const metafiles = [];
async function bundle(options) {
  const { metafile } = await build({ ...common, ...options });
  metafiles.push(metafile);
  const made = Object.entries(metafile.outputs).filter(([, output]) => output.entryPoint);
  return Object.fromEntries(
    made.map(([path, output]) => [
      output.entryPoint,
      { js: basename(path), css: output.cssBundle && basename(output.cssBundle) },
    ]),
  );
}

/** The console and the explorer share only the icon: each page loads its own code. */
async function bundleConsole() {
  const made = await bundle({ entryPoints: ["src/main.tsx"], format: "esm" });
  return made["src/main.tsx"];
}

/** GraphiQL's style sheet holds its fonts as text, which is most of it; the machine's own fonts serve as well. */
const withoutFonts = {
  name: "without fonts",
  setup(builder) {
    builder.onLoad({ filter: /graphiql[/\\].*\.css$/ }, async ({ path }) => {
      const style = await readFile(path, "utf8");
      return { contents: style.replace(/@font-face\s*\{[^}]*\}/g, ""), loader: "css" };
    });
  },
};

/** What Monaco has for programs, and neither GraphQL's language service nor JSON's uses. */
const UNUSED_IN_MONACO =
  /contrib\/(codelens|colorPicker|dropOrPasteInto|inlayHints|inlineCompletions|inlineEdits?|inlineProgress|linkedEditing|rename|sectionHeaders|semanticTokens|stickyScroll|unicodeHighlighter|diffEditorBreadcrumbs)\/|suggestInlineCompletions/;

const withoutUnused = {
  name: "without unused parts of Monaco",
  setup(builder) {
    builder.onLoad({ filter: /vs[/\\]editor[/\\]editor\.all\.js$/ }, async ({ path }) => {
      const lines = (await readFile(path, "utf8")).split("\n");
      return { contents: lines.filter((line) => !UNUSED_IN_MONACO.test(line)).join("\n"), loader: "js" };
    });
  },
};

/** GraphiQL takes the screen readers' names of its icons from the names of functions, which are shortened here. */
const withNamedIcons = {
  name: "with named icons",
  setup(builder) {
    builder.onLoad({ filter: /@graphiql[/\\]react[/\\]dist[/\\]icons[/\\]index\.js$/ }, async ({ path }) => {
      const source = await readFile(path, "utf8");
      const named = source
        .replace(/generateIcon\((Svg\w+)\);/g, 'generateIcon($1, "$1");')
        .replace("function generateIcon(RawComponent) {", "function generateIcon(RawComponent, name) {")
        .replace("const title = RawComponent.name.", "const title = name.");
      if (!/title = name\./.test(named)) throw new Error(`${path} names its icons in another way now`);
      return { contents: named, loader: "js" };
    });
  },
};

/** Comparing two texts side by side is a large part of Monaco, and nothing here shows differences. */
const UNUSED_WIDGETS = {
  "diffEditorWidget.js": "export class DiffEditorWidget {}",
  "multiDiffEditorWidget.js": "export class MultiDiffEditorWidget {}",
};

const withoutDifferences = {
  name: "without the widgets of differences",
  setup(builder) {
    const filter = /vs[/\\]editor[/\\]browser[/\\]widget[/\\]\w+[/\\](diffEditorWidget|multiDiffEditorWidget)\.js$/;
    builder.onLoad({ filter }, ({ path }) => ({ contents: UNUSED_WIDGETS[basename(path)], loader: "js" }));
  },
};

const WORKERS = {
  editor: "node_modules/monaco-editor/esm/vs/editor/editor.worker.js",
  json: "node_modules/monaco-editor/esm/vs/language/json/json.worker.js",
  graphql: "node_modules/monaco-graphql/esm/graphql.worker.js",
};

/** GraphiQL takes parsers from the old names of these, whose modules have no named exports: nothing was formatted. */
const PRETTIER = {
  "prettier/parser-graphql": "prettier/plugins/graphql",
  "prettier/parser-babel": "prettier/plugins/babel",
};

/** The page and its workers are bundled together, so that what several of them need is loaded once. */
async function bundleExplorer() {
  const page = "src/explorer/main.tsx";
  const workers = Object.fromEntries(Object.entries(WORKERS).map(([label, entry]) => [`${label}-worker`, entry]));
  const made = await bundle({
    entryPoints: { explorer: page, ...workers },
    plugins: [withoutFonts, withoutUnused, withNamedIcons, withoutDifferences],
    format: "esm",
    splitting: true,
    alias: PRETTIER,
    jsx: "automatic",
    jsxImportSource: "react",
  });
  const addresses = Object.entries(WORKERS).map(([label, entry]) => [label, `/assets/${made[entry].js}`]);
  return { ...made[page], workers: JSON.stringify(Object.fromEntries(addresses)) };
}

async function writePage(template, { js, css, workers = "" }, sign) {
  const page = await readFile(template, "utf8");
  const named = page
    .replaceAll("%SCRIPT%", `/assets/${js}`)
    .replaceAll("%STYLE%", `/assets/${css}`)
    .replaceAll("%WORKERS%", workers)
    .replaceAll("%SIGN%", `/assets/${sign}`);
  await writeFile(join(out, basename(template)), named);
}

/** The console's documents: a server that accepts only trusted documents accepts these. */
async function writeDocuments() {
  const { outputFiles } = await build({
    entryPoints: ["src/graphql/documents.ts"],
    bundle: true,
    format: "esm",
    write: false,
  });
  const { DOCUMENTS } = await import(`data:text/javascript,${encodeURIComponent(outputFiles[0].text)}`);
  await writeFile(join(out, "documents.json"), JSON.stringify(DOCUMENTS, null, 1));
}

/** Two compressed copies of each asset, for browsers that accept them. */
async function compress() {
  for (const name of await readdir(assets)) {
    const content = await readFile(join(assets, name));
    await writeFile(join(assets, `${name}.gz`), gzipSync(content, { level: 9 }));
    const params = { [constants.BROTLI_PARAM_SIZE_HINT]: content.length };
    await writeFile(join(assets, `${name}.br`), brotliCompressSync(content, { params })); // its best quality by default
  }
}

/** The licences of every package that is part of what we serve. */
async function collectLicences() {
  const inputs = metafiles.flatMap((metafile) => Object.keys(metafile.inputs));
  const packages = new Set(
    inputs.map((path) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]).filter(Boolean),
  );
  const texts = [];
  for (const folder of [...packages].sort()) {
    const { name, version, license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    const file = ["LICENSE", "LICENSE.md", "LICENSE.txt", "license", "LICENCE"]
      .map((leaf) => join(folder, leaf))
      .find(existsSync);
    texts.push(`${name} ${version} (${license})\n\n${file ? await readFile(file, "utf8") : ""}`);
  }
  await writeFile(join(out, "third-party-licences.txt"), texts.join(`\n${"-".repeat(78)}\n`));
}

await rm(out, { recursive: true, force: true });
await mkdir(assets, { recursive: true });
const sign = await bundle({ entryPoints: ["src/sign.svg"], loader: { ".svg": "copy" } });
const signName = Object.values(sign)[0].js;
await writePage("index.html", await bundleConsole(), signName);
await writePage("explorer.html", await bundleExplorer(), signName);
await writeDocuments();
await compress();
await collectLicences();
