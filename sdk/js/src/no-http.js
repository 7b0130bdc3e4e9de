// In place of wasi-http.js, for a handler whose manifest names no host.

import { NoAnswer } from './http.js';

export function request() {
  throw new NoAnswer('broken', 'the handler was built without HTTP: name scheme, host and port in allowed_outbound_hosts of plugin.toml');
}
