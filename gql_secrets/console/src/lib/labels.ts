/** Labels of clients, as the server accepts them: key=value. */

export const MAX_LABELS = 16;
const LABEL = /^[a-z0-9][a-z0-9._/-]{0,62}=[A-Za-z0-9._/@:+-]{1,63}$/;

export const isLabel = (text: string): boolean => LABEL.test(text);

/** Labels as people type them: separated by spaces, commas or lines. */
export const labelsIn = (text: string): string[] => text.split(/[\s,;]+/).filter(Boolean);
