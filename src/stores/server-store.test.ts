import { expect, it } from 'vitest';
import { isRelayAddress, RELAY_ADDRESS } from './server-store.ts';

it('takes the addresses of relays on this machine and no others', () => {
  for (const good of [RELAY_ADDRESS, 'http://localhost:9000', 'http://127.0.0.1:1/', 'http://localhost'])
    expect(isRelayAddress(good), good).toBe(true);
  for (const bad of [
    '',
    '8788',
    '127.0.0.1:8788',
    'https://127.0.0.1:8788',
    'http://tinker.example',
    'http://127.0.0.1.example:80',
    'http://127.0.0.1@tinker.example',
    'http://u@127.0.0.1:8788',
    'http://127.0.0.1:8788/services/x',
    'http://127.0.0.1:8788/?q',
    'javascript:alert(1)',
  ])
    expect(isRelayAddress(bad), bad).toBe(false);
});
