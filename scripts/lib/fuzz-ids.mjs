// A session and a model on a server of the protocol, so that garbage gets further than "there is no such model".

/**
 * @param {string} url
 * @param {string} baseModel
 * @param {Record<string, string>} [headers]
 * @returns {Promise<string[]>} ids of the session, the model, and a sampling session
 */
export async function makeIds(url, baseModel, headers = {}) {
  /** @param {string} path @param {object} body @returns {Promise<Record<string, unknown>>} */
  const post = async (path, body) => {
    const answer = await fetch(`${url}/api/v1/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
    const text = await answer.text();
    if (answer.status === 408) return post(path, body);
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text.slice(0, 300)}`);
    return /** @type {Record<string, unknown>} */ (JSON.parse(text));
  };
  const { session_id: session } = await post('create_session', { tags: [], sdk_version: '1' });
  const made = await post('create_model', {
    session_id: session,
    model_seq_id: 0,
    base_model: baseModel,
    lora_config: { rank: 4, seed: 1 },
  });
  const { model_id: model } = await post('retrieve_future', { request_id: made['request_id'] });
  const { sampling_session_id: sampler } = await post('create_sampling_session', {
    session_id: session,
    sampling_session_seq_id: 0,
    base_model: baseModel,
  });
  return [session, model, model, sampler].map(String);
}

/**
 * Whether the model of these ids is still there. Its session is told that somebody is, too.
 * @param {string} url
 * @param {readonly string[]} ids as makeIds gives them
 */
export async function isThere(url, [session, model]) {
  if (session === undefined || model === undefined) return false;
  const answers = [
    { path: 'session_heartbeat', body: { session_id: session } },
    { path: 'get_info', body: { model_id: model } },
  ].map(({ path, body }) =>
    fetch(`${url}/api/v1/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }),
  );
  return (await Promise.all(answers)).every(({ ok }) => ok);
}
