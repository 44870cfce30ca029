/** Names the place of the run on the page, so that Start can lead there. */
export const RUN_PANEL_ID = 'run';
