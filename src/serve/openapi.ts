/** A description of the routes in OpenAPI 3.1, from the very schemas that they parse with. */
import { z } from 'zod';
import type { ServeOptions } from './options.ts';
import { PROTOBUF, type Route } from './route.ts';

type Json = Record<string, unknown>;

const schemaOf = (schema: z.ZodType): unknown =>
  z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });

function parametersOf({ path, query }: Route): Json[] {
  const inPath = path
    .split('/')
    .filter((part) => part.startsWith(':'))
    .map((part) => {
      const [name = '', values] = part.slice(1).split('=');
      const schema = values === undefined ? { type: 'string' } : { type: 'string', enum: values.split('|') };
      return { name, in: 'path', required: true, schema };
    });
  if (query === null) return inPath;
  const described = schemaOf(query) as { properties?: Record<string, unknown> };
  const inQuery = Object.entries(described.properties ?? {}).map(([name, schema]) => ({
    name,
    in: 'query',
    required: false,
    schema,
  }));
  return [...inPath, ...inQuery];
}

function operationOf(route: Route): Json {
  const failure = (description: string): Json => ({ description });
  const content: Json = {};
  if (route.body !== null) content['application/json'] = { schema: schemaOf(route.body) };
  if (route.protobuf) content[PROTOBUF] = { schema: { type: 'string', format: 'binary' } };
  return {
    summary: route.summary,
    parameters: parametersOf(route),
    ...(route.body === null ? {} : { requestBody: { required: true, content } }),
    responses: {
      '2XX': { description: 'Done, or accepted.' },
      '3XX': { description: 'It is elsewhere.' },
      '4XX': failure('Refused; `detail` says why.'),
      '5XX': failure('The server failed; `detail` says so.'),
    },
    security: route.open ? [] : [{ key: [] }],
  };
}

const pathOf = (path: string): string =>
  `/api/v1/${path.replaceAll(/:([a-z]+)(=[^/]*)?/g, (_, name: string) => `{${name}}`)}`;

export function describeRoutes(routes: readonly Route[], { apiKey }: Pick<ServeOptions, 'apiKey'>): Json {
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    const path = pathOf(route.path);
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(route) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'lorikeet serve',
      version: '1',
      description: 'The Tinker protocol on the GPU of this machine.',
    },
    ...(apiKey === null ? {} : { security: [{ key: [] }] }),
    components: { securitySchemes: { key: { type: 'apiKey', in: 'header', name: 'X-API-Key' } } },
    paths,
  };
}
