/** Whether a text looks like a secret, which must not be sent as a search. */
export const looksLikeSecret = (text: string): boolean => /^\s*gqls_/i.test(text);
