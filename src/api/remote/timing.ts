/** How long the remote backend waits, and how often it tries, in seconds. Tests shorten these; programs may too. */

export interface Timing {
  /** One request, headers to body. */
  requestSeconds: number;
  /** One poll for a result; asked again afterwards. */
  pollSeconds: number;
  /** How long a training request is sent again before the server counts as gone; likewise a poll that finds nobody. */
  submitSeconds: number;
  /** Attempts of other requests. */
  attempts: number;
  firstBackoff: number;
  maxBackoff: number;
  /** Longest back-off of training requests and polls. */
  maxSubmitBackoff: number;
  /** Answers 5xx in a row after which a poll gives up: on some servers they are final. */
  pollServerErrors: number;
  heartbeatSeconds: number;
  heartbeatWarnSeconds: number;
  billingSeconds: number;
  billingPollSeconds: number;
  archiveWaitSeconds: number;
  archiveAttempts: number;
  /** How long closing waits for results and for slots to be freed. */
  closeSeconds: number;
  /** Least time from one poll to the next when the server answers at once. */
  minPollGap: number;
}

export const DEFAULT_TIMING: Timing = {
  requestSeconds: 60,
  pollSeconds: 45,
  submitSeconds: 300,
  attempts: 10,
  firstBackoff: 0.5,
  maxBackoff: 10,
  maxSubmitBackoff: 30,
  pollServerErrors: 5,
  heartbeatSeconds: 10,
  heartbeatWarnSeconds: 120,
  billingSeconds: 3600,
  billingPollSeconds: 5,
  archiveWaitSeconds: 30,
  archiveAttempts: 6,
  closeSeconds: 30,
  minPollGap: 0.1,
};
