/** The id of a sampling session: the same for the same number of a session, so a request that comes twice makes one. */
export const samplerId = (sessionId: string, seq: number): string => `${sessionId}-sample-${String(seq)}`;
