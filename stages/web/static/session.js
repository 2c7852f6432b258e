// What a tab shows, kept while it is loaded again.

const KEY = "usam-page";

export const keep = (shown) => sessionStorage.setItem(KEY, JSON.stringify(shown));

export function kept() {
  const text = sessionStorage.getItem(KEY);
  return text && JSON.parse(text);
}
