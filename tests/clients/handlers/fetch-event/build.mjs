// server.js as a component of componentize-js, in dist/. The WIT of WASI is that of jco.

import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { componentize } from '@bytecodealliance/componentize-js';

/** What jco has, and what the engine of componentize-js answers requests by. */
const [FROM, TO] = ['0.2.12', '0.2.10'];

const builtin = join(dirname(dirname(fileURLToPath(import.meta.resolve('@bytecodealliance/jco')))), 'lib/wit/builtin', FROM);
for (const name of await readdir(builtin)) {
  const text = await readFile(join(builtin, name, 'package.wit'), 'utf8');
  await mkdir(join('dist/wit/deps', name), { recursive: true });
  await writeFile(join('dist/wit/deps', name, 'package.wit'), text.replaceAll(FROM, TO));
}
await writeFile('dist/wit/world.wit', `package tests:http;\n\nworld http {\n    export wasi:http/incoming-handler@${TO};\n}\n`);
const { component } = await componentize(await readFile('server.js', 'utf8'), { witPath: 'dist/wit', worldName: 'http' });
await writeFile('dist/fetch-event.wasm', component);
