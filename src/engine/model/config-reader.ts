/** Reads typed fields from parsed JSON; a field of the wrong type is a MODEL_INVALID error that names it. */
import { StudioError } from '../../errors.ts';

const MAX_SIZE = 2 ** 24;

export class ConfigReader {
  readonly #fields: ReadonlyMap<string, unknown>;

  constructor(json: unknown) {
    if (typeof json !== 'object' || json === null || Array.isArray(json))
      this.#fail('config.json is not an object');
    // JSON null means absent in these files.
    this.#fields = new Map(Object.entries(json).filter(([, value]) => value !== null));
  }

  has(key: string): boolean {
    return this.#fields.has(key);
  }

  /** The object under `key` as a reader of its own, or undefined. */
  child(key: string): ConfigReader | undefined {
    const value = this.#fields.get(key);
    if (value === undefined) return undefined;
    if (typeof value !== 'object' || Array.isArray(value))
      this.#fail(`config.json says ${key} = ${JSON.stringify(value)}`);
    return new ConfigReader(value);
  }

  /** A positive whole number. */
  size(key: string): number {
    return this.optionalSize(key) ?? this.#fail(`config.json has no ${key}`);
  }

  optionalSize(key: string): number | undefined {
    const value = this.#fields.get(key);
    if (value === undefined) return undefined;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > MAX_SIZE) {
      this.#fail(`config.json says ${key} = ${JSON.stringify(value)}`);
    }
    return value;
  }

  number(key: string): number {
    return this.optionalNumber(key) ?? this.#fail(`config.json has no ${key}`);
  }

  optionalNumber(key: string): number | undefined {
    const value = this.#fields.get(key);
    if (value === undefined) return undefined;
    if (typeof value !== 'number' || !Number.isFinite(value))
      this.#fail(`config.json says ${key} = ${JSON.stringify(value)}`);
    return value;
  }

  optionalString(key: string): string | undefined {
    const value = this.#fields.get(key);
    if (value === undefined) return undefined;
    if (typeof value !== 'string') this.#fail(`config.json says ${key} = ${JSON.stringify(value)}`);
    return value;
  }

  optionalBoolean(key: string): boolean | undefined {
    const value = this.#fields.get(key);
    if (value === undefined) return undefined;
    if (typeof value !== 'boolean') this.#fail(`config.json says ${key} = ${JSON.stringify(value)}`);
    return value;
  }

  /** A list of strings; empty when absent. */
  strings(key: string): string[] {
    const value = this.#fields.get(key) ?? [];
    if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) {
      this.#fail(`config.json says ${key} = ${JSON.stringify(value)}`);
    }
    return value;
  }

  #fail(message: string): never {
    throw new StudioError({
      code: 'MODEL_INVALID',
      message: `${message}.`,
      fix: 'Use the config.json that came with the model.',
    });
  }
}
