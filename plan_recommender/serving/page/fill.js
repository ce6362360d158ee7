// Texts with names in braces.

/** Put values in the place of their names. */
export const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
