// Node's hooks for modules, which run on a thread of their own.

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const { transform } = createRequire(join(process.cwd(), 'package.json'))('esbuild');

/** `./handler` and `./handler.js` may be `./handler.ts`. */
export async function resolve(specifier, context, next) {
  try {
    return await next(specifier, context);
  } catch (error) {
    if (!specifier.startsWith('.')) throw error;
    return next(`${specifier.replace(/\.js$/, '')}.ts`, context).catch(() => { throw error; });
  }
}

export async function load(url, context, next) {
  if (!url.endsWith('.ts')) return next(url, context);
  const sourcefile = fileURLToPath(url);
  const { code } = await transform(await readFile(sourcefile, 'utf8'), { loader: 'ts', format: 'esm', target: 'node20', sourcemap: 'inline', sourcefile });
  return { format: 'module', source: code, shortCircuit: true };
}
