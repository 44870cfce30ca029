/** get_info, with what a server leaves out filled in from what was asked for at creation. */
import type { FullLoraConfig } from '../parameters.ts';
import type { GetInfoResponse } from '../types.ts';
import type { RemoteContext } from './remote-context.ts';
import { reader } from './wire-read.ts';

export async function readInfo(
  { transport, poll }: RemoteContext,
  modelId: string,
  known: { baseModel: string; lora: FullLoraConfig },
): Promise<GetInfoResponse> {
  const reply = await transport.request(
    { method: 'POST', path: 'get_info', json: { model_id: modelId, type: 'get_info' }, signal: poll.signal },
    { mode: 'safe' },
  );
  const r = reader(reply.body, 'get_info');
  const data = reader(r.record('model_data'), 'get_info');
  const modelName = data.optionalText('model_name') ?? data.optionalText('base_model') ?? known.baseModel;
  const info: GetInfoResponse = {
    modelData: { modelName },
    modelId: r.text('model_id'),
    isLora: r.optionalBoolean('is_lora') ?? true,
    loraRank: r.optionalNumber('lora_rank') ?? known.lora.rank,
    modelName: r.optionalText('model_name') ?? modelName,
  };
  const arch = data.optionalText('arch');
  const tokenizerId = data.optionalText('tokenizer_id');
  if (arch !== undefined) info.modelData.arch = arch;
  if (tokenizerId !== undefined) info.modelData.tokenizerId = tokenizerId;
  return info;
}
