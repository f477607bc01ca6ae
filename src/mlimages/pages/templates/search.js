const entries = JSON.parse(document.getElementById("entries").textContent);
const field = document.getElementById("query");
const list = document.getElementById("found");
const note = document.getElementById("note");
const plain = (text) => text.toLowerCase().replaceAll("_", " ");
const searched = entries.map(([, names, key]) => plain(names + "\n" + key));
const most = 24;

function rank(text, words, place) {
  // The whole first name, then a first name that begins so, then a whole word, then anywhere.
  const first = text.split(/[,\n]/, 1)[0];
  if (first === words) return 0;
  if (first.startsWith(words)) return 1;
  return /(^|[^a-z0-9])$/.test(text.slice(0, place)) ? 2 : 3;
}

function show() {
  const words = plain(field.value.trim());
  list.replaceChildren();
  document.getElementById("browse").hidden = words !== "";
  if (!words) { note.textContent = ""; return; }
  const hits = [];
  searched.forEach((text, i) => {
    const place = text.indexOf(words);
    if (place >= 0) hits.push([rank(text, words, place), i]);
  });
  hits.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  for (const [, i] of hits.slice(0, most)) {
    const [page, names, key, images] = entries[i];
    const link = document.createElement("a");
    link.href = "categories/" + page;
    const title = document.createElement("b");
    title.textContent = names.split(",")[0];
    const more = document.createElement("span");
    more.textContent = names.split(",").slice(1).join(",") || key;
    const count = document.createElement("i");
    count.textContent = images.toLocaleString("en-US");
    link.append(title, more, count);
    const item = document.createElement("li");
    item.append(link);
    list.append(item);
  }
  const total = hits.length;
  note.textContent = total === 0 ? "No category has such a name."
    : total > most ? `${most} of ${total.toLocaleString("en-US")} categories` : total === 1 ? "1 category" : `${total} categories`;
}

field.addEventListener("input", () => {
  history.replaceState(null, "", field.value ? "#q=" + encodeURIComponent(field.value) : location.pathname);
  show();
});
function fromAddress() {
  const asked = location.hash.match(/^#q=(.*)$/);
  if (asked) { field.value = decodeURIComponent(asked[1]); show(); }
}
addEventListener("hashchange", fromAddress);
fromAddress();
