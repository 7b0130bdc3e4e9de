// Types of bodies that are there at run time. Each follows Standard Schema
// (https://standardschema.dev), so that a schema of zod, valibot or arktype can stand in its place.

const schema = (validate, isOptional = false) => ({
  '~standard': { version: 1, vendor: 'wasq', validate },
  isOptional,
});
const good = (value) => ({ value });
const bad = (message, path = []) => ({ issues: [{ message, path }] });
const kindOf = (value) => (value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`.replace('a object', 'an object'));
const expected = (what) => (value) => bad(`expected ${what}, found ${kindOf(value)}`);
const check = (what, is) => schema((value) => (is(value) ? good(value) : expected(what)(value)));

export const string = () => check('a string', (value) => typeof value === 'string');
export const number = () => check('a number', (value) => typeof value === 'number');
export const boolean = () => check('a boolean', (value) => typeof value === 'boolean');
export const unknown = () => schema(good);
/** An integer that a number holds exactly. Longer ones are sent as strings. */
export const integer = () => schema((value) => {
  if (typeof value !== 'number' || !Number.isInteger(value)) return expected('an integer')(value);
  return Number.isSafeInteger(value) ? good(value) : bad('an integer of more than 53 bits does not fit a number');
});
/** One of these strings or numbers. */
export const oneOf = (...values) => schema((value) => (values.includes(value) ? good(value) : bad(`expected one of ${values.join(', ')}`)));
/** A field that may be missing, or null. */
export const optional = (inner) => schema((value) => (value === undefined || value === null ? good(undefined) : inner['~standard'].validate(value)), true);

/** A list of these. */
export const array = (inner) => schema((value) => {
  if (!Array.isArray(value)) return expected('a list')(value);
  return all(value.map((item, index) => [index, inner['~standard'].validate(item)]), Object.values);
});

/** An object whose values are all of one schema. */
export const record = (inner) => schema((value) => {
  if (!isObject(value)) return expected('an object')(value);
  return all(Object.entries(value).map(([key, item]) => [key, inner['~standard'].validate(item)]), (fields) => fields);
});

/** An object with these fields. Others are left out. */
export const object = (fields) => schema((value) => {
  if (!isObject(value)) return expected('an object')(value);
  return all(Object.entries(fields).map(([key, field]) => {
    if (!Object.hasOwn(value, key) && !field.isOptional && field['~standard'].vendor === 'wasq') return [key, bad('missing')];
    return [key, field['~standard'].validate(value[key])];
  }), (found) => found);
});

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** The values under their keys, or all that is wrong with them. */
function all(results, make) {
  const issues = results.flatMap(([key, result]) => (result.issues ?? []).map((issue) => ({ ...issue, path: [key, ...(issue.path ?? [])] })));
  if (issues.length) return { issues };
  return good(make(Object.fromEntries(results.map(([key, result]) => [key, result.value]).filter(([, value]) => value !== undefined))));
}

/** A path as text: `items[0].sku`. */
export const pathText = (path) => (path ?? []).map((part) => part?.key ?? part)
  .reduce((text, part) => (typeof part === 'number' ? `${text}[${part}]` : text ? `${text}.${String(part)}` : String(part)), '');
