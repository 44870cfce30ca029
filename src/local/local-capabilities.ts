/** What this machine can do, feature by feature. */
import { FEATURES, type Capability, type CapabilityReport, type Feature } from '../api/capabilities.ts';

const native = (note: string): Capability => ({ support: 'native', note });
const unsupported = (note: string): Capability => ({ support: 'unsupported', note });

const SPECIAL: Partial<Record<Feature, Capability>> = {
  custom_loss: native('A forward pass, then a backward pass with the gradient as weights.'),
  sum_reduction: native('Losses are sums over tokens and data.'),
  images: unsupported('Text only.'),
  load_into_used_client: native('At any point; later calls see the loaded state.'),
  load_with_optimizer: native('Weights, moments, step, accumulated gradient and counters, bit for bit.'),
  delta_checkpoints: native(
    'A sampler checkpoint as its difference to the last whole one, where that is smaller.',
  ),
  topk_prompt_logprobs: native('Computed token by token, so slow for long prompts.'),
  publish: native('A mark on the checkpoint; nothing leaves this machine.'),
  archive: native('PEFT folder, Bios or Tinker layout; tar.gz, tar or zip.'),
  archive_of_training_state: native('The archive of a training checkpoint holds its optimizer state.'),
  promote: native('A model of the local library: the adapter beside its base model.'),
  external_store: unsupported('It saves to its own store; archives can be copied anywhere.'),
  sessions: unsupported('There is no service with sessions.'),
  billing: unsupported('Nothing is billed.'),
};

export function localCapabilities(device: string | null): CapabilityReport {
  const features = Object.fromEntries(
    FEATURES.map((feature) => [feature, SPECIAL[feature] ?? native('As promised.')]),
  ) as Record<Feature, Capability>;
  return { backend: 'local', dialect: null, server: device, features };
}
