// `node --import @wasq/sdk/ts --test`: tests and handlers in TypeScript, with the project's own
// esbuild. Node 20 cannot read it by itself. Types are left out, not checked: `tsc --noEmit` checks
// them.

import { register } from 'node:module';

register('./typescript-hooks.js', import.meta.url);
