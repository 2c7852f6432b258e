// What a tab shows, kept while the page is loaded again.

const KEY = "usam-page";

export const save = (shown) => sessionStorage.setItem(KEY, JSON.stringify(shown));

export function saved() {
  const text = sessionStorage.getItem(KEY);
  return text && JSON.parse(text);
}
