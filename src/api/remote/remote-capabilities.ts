/** What each kind of server can do, from what was found out about it. */
import { FEATURES, type Capability, type CapabilityReport, type Feature } from '../capabilities.ts';
import type { Traits } from './dialect.ts';

type Entries = Partial<Record<Feature, Capability>>;

const native = (note: string): Capability => ({ support: 'native', note });
const emulated = (note: string): Capability => ({ support: 'emulated', note });
const differs = (note: string): Capability => ({ support: 'differs', note });
const unsupported = (note: string): Capability => ({ support: 'unsupported', note });

/** Of every server of the family, unless said otherwise below. */
const FAMILY: Entries = {
  custom_loss: emulated('A forward pass, then a backward pass with its gradient as weights.'),
  lora_alpha: unsupported('alpha is always 32.'),
  target_modules: unsupported('Modules are chosen by group: attention, MLP, unembedding.'),
  grad_accumulation_normalization: unsupported('The protocol has no field for it; put 1/N into the weights.'),
  load_into_used_client: emulated(
    'A fresh model is made and loaded, and takes the place of the former one; the run id changes.',
  ),
  delta_checkpoints: unsupported('Adapters are stored whole.'),
  sample_stream: emulated('Whole samples; their tokens come together.'),
  hot_load: emulated('A new sampling session takes the place of the former one.'),
  save_metadata: differs('Metadata is kept by this program, not by the server.'),
  overwrite: emulated('The old checkpoint is deleted first, then the new one saved.'),
  archive_of_training_state: unsupported('Optimizer state stays on the server.'),
  promote: unsupported('Download the archive and promote it locally.'),
  import_adapter: unsupported('Adapters cannot be brought in over the protocol.'),
  external_store: unsupported('It saves to its own store only.'),
  search_checkpoints: unsupported('List the checkpoints and filter them.'),
  billing: unsupported('Use the pages of the service.'),
};

function skyrl(traits: Traits): Entries {
  const release = !traits.deletes;
  return {
    sum_reduction: differs(
      'The loss is a mean over weights and over sequences; emulateSumLoss undoes it for RL losses.',
    ),
    custom_loss: emulated('Sent as importance sampling at ratio 1, for one call per step.'),
    loss_dro: unsupported('It has no such loss; write it as a custom loss.'),
    two_dimensional_targets: unsupported('One target at a position.'),
    images: unsupported('Text only.'),
    grad_clip: unsupported('gradClipNorm is dropped.'),
    weight_decay: differs('The weight decay of one model shrinks every other model.'),
    train_flags: differs('Attention and MLP are always trained, the unembedding never.'),
    idempotent_requests: release
      ? unsupported('seq_id is ignored: a training request whose answer was lost is not sent again.')
      : native('The same request under the same number is taken once.'),
    overwrite: release
      ? unsupported('It can neither overwrite nor delete.')
      : emulated('Deleted first, then saved again.'),
    load_weights_only: release
      ? differs('The moments are always restored, whatever is asked.')
      : native('Weights alone, the optimizer starts afresh.'),
    delete_checkpoint: release
      ? unsupported('It has no route for it.')
      : native('Deleted at once, for good.'),
    sample_old_snapshot: unsupported(
      'Sampling loads the snapshot over the weights in training, so it is refused while the model is in training here.',
    ),
    prompt_logprobs: emulated('The entry of the first token is put in.'),
    topk_prompt_logprobs: unsupported('The JAX backend has none.'),
    list_user_checkpoints: emulated('All runs are walked.'),
    publish: unsupported('It has no such flag.'),
    ttl: unsupported('Checkpoints stay until they are deleted.'),
    archive: native('Sampler weights, as tar.gz.'),
    copy_weights: unsupported('It has no route for it.'),
    sessions: unsupported('It has no route for it.'),
  };
}

export function remoteCapabilities(traits: Traits): CapabilityReport {
  const own: Entries =
    traits.dialect === 'skyrl' ? skyrl(traits) : { sum_reduction: native('Losses are sums.') };
  const features = Object.fromEntries(
    FEATURES.map((feature) => [feature, own[feature] ?? FAMILY[feature] ?? native('As in the protocol.')]),
  ) as Record<Feature, Capability>;
  return { backend: 'remote', dialect: traits.dialect, server: traits.label, features };
}
