#!/usr/bin/env node
// From src/handler.ts (or .js) to dist/NAME.wasm: bundles, and makes a component of it. `wasq
// build` calls it, and puts the manifest inside.

import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const SOURCES = ['src/handler.ts', 'src/handler.js', 'handler.ts', 'handler.js'];
const HELP = `Makes dist/NAME.wasm of a handler, where NAME is the plugin's in plugin.toml.

  wasq-build [SOURCE]   default: the first that is there of ${SOURCES.join(', ')}`;

class Problem extends Error {}

const project = process.cwd();
const sdk = fileURLToPath(new URL('..', import.meta.url));

/** A tool of the project's, in the version that its package.json names. `require` would not find a module without a CommonJS entry. */
async function tool(name) {
  for (let dir = project; ; dir = dirname(dir)) {
    const found = join(dir, 'node_modules', name);
    if (existsSync(join(found, 'package.json'))) return import(pathToFileURL(join(found, await entry(found))));
    if (dir === dirname(dir)) break;
  }
  const range = (await packageJson(sdk)).peerDependencies[name];
  throw new Problem(`${name} is not installed in ${project}; run: npm install --save-dev ${name}@${range}`);
}

const packageJson = async (dir) => JSON.parse(await readFile(join(dir, 'package.json'), 'utf8'));

async function entry(dir) {
  const { exports, main } = await packageJson(dir);
  let entry = exports?.['.'] ?? exports ?? main;
  while (typeof entry === 'object') entry = entry.import ?? entry.node ?? entry.default;
  return entry ?? 'index.js';
}

/** The manifest's name, and whether it names hosts. The host reads all of it. */
async function manifest() {
  const text = await readFile('plugin.toml', 'utf8').catch(() => {
    throw new Problem(`there is no plugin.toml in ${project}; the least one:\n\nname = "my-handler"\ntypes = ["order_completed"]`);
  });
  const head = text.replace(/^\s*#.*$/gm, '').split(/^\s*\[/m)[0];
  const name = /^\s*name\s*=\s*["']([^"']*)["']/m.exec(head)?.[1];
  if (!name) throw new Problem('plugin.toml has no name; write for example: name = "my-handler"');
  return { name, callsHosts: /^\s*allowed_outbound_hosts\s*=\s*\[\s*["']/m.test(head) };
}

async function bundle(source, callsHosts) {
  const { build } = await tool('esbuild');
  const handler = JSON.stringify(resolve(source));
  const component = JSON.stringify(join(sdk, 'src/component.js'));
  const http = { name: 'http', setup: (setup) => setup.onResolve({ filter: /\/wasi-http\.js$/ }, () => (callsHosts ? undefined : { path: join(sdk, 'src/no-http.js') })) };
  const { outputFiles } = await build({
    stdin: {
      contents: `import * as user from ${handler};\nimport { component } from ${component};\nexport const messageHandler = component(user.handler ?? user.default);\n`,
      resolveDir: project,
      sourcefile: 'component.js',
    },
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'neutral',
    mainFields: ['module', 'main'],
    conditions: ['import', 'module', 'default'],
    target: 'es2022',
    keepNames: true,
    // The same SDK for the handler and for the component's entry.
    alias: { '@wasq/sdk': join(sdk, 'src/index.js') },
    external: ['wasq:*', 'wasi:*'],
    plugins: [http],
    logLevel: 'error',
  }).catch(() => {
    throw new Problem(`${source} cannot be bundled; what is wrong with it stands above`);
  });
  return outputFiles[0].text;
}

async function main() {
  const [given] = process.argv.slice(2);
  if (given === '--help' || given === '-h') return console.log(HELP);
  const { name, callsHosts } = await manifest();
  const source = given ?? SOURCES.find((path) => existsSync(path));
  if (!source || !existsSync(source)) throw new Problem(`there is no handler at ${given ?? SOURCES.join(', ')} in ${project}`);
  const { componentize } = await tool('@bytecodealliance/componentize-js');
  const packaged = join(sdk, 'wit');
  const { component } = await componentize(await bundle(source, callsHosts), {
    witPath: existsSync(packaged) ? packaged : join(sdk, '../../wit'),
    worldName: callsHosts ? 'worker-http' : 'worker',
    // HTTP is the SDK's own, over wasi:http.
    disableFeatures: callsHosts ? ['fetch-event'] : ['http', 'fetch-event'],
  }).catch((error) => {
    // Modules are loaded in the build, and what they throw is in the engine's report.
    const thrown = /Exception while evaluating top-level script\s+(?:\S+:\d+:\d+ )?(.*)/.exec(error.message);
    throw new Problem(thrown ? `${source} throws when it is loaded: ${thrown[1]}` : `${source} does not become a component: ${error.message}`);
  });
  const out = `dist/${name}.wasm`;
  await mkdir(dirname(out), { recursive: true });
  await writeFile(out, component);
  console.log(`${out}  ${Math.round(component.length / 1024)} KiB`);
}

main().catch((error) => {
  console.error(error instanceof Problem ? `error: ${error.message}` : error);
  process.exitCode = 1;
});
