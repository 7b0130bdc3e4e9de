// Before the package is packed: the contract, which stands beside the SDKs in the repository,
// becomes part of it.
import { cpSync } from 'node:fs';

cpSync(new URL('../../../wit', import.meta.url), new URL('../wit', import.meta.url), { recursive: true });
