// Small helpers around the DOM. Text always goes in as text, never as markup.

/**
 * The element with an id that index.html has.
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function byId(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`no ${type.name} with id ${id}`);
  return found;
}

/**
 * A new element with a class and text.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} [className]
 * @param {string} [text]
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

/**
 * Makes the children of parent match items. An item keeps its element as long as its key stays, so focus and
 * scroll positions survive an update.
 * @template T
 * @param {HTMLElement} parent
 * @param {T[]} items
 * @param {(item: T) => string} keyOf
 * @param {(item: T) => HTMLElement} create
 * @param {(node: HTMLElement, item: T) => void} update
 */
export function keyed(parent, items, keyOf, create, update) {
  /** @type {Map<string, HTMLElement>} */
  const old = new Map();
  for (const child of parent.children) {
    if (child instanceof HTMLElement && child.dataset.key !== undefined) old.set(child.dataset.key, child);
  }
  /** @type {Element | null} */
  let next = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let node = old.get(key);
    if (!node) {
      node = create(item);
      node.dataset.key = key;
    }
    old.delete(key);
    update(node, item);
    if (node === next) next = node.nextElementSibling;
    else parent.insertBefore(node, next); // an element that moves loses focus; one that stays does not
  }
  for (const node of old.values()) node.remove();
}

/**
 * Turns an element into the avatar of a person or a room.
 * @param {HTMLElement} node
 * @param {{ id: string, name: string, square?: boolean, here?: boolean, sign?: string }} of
 */
export function paintAvatar(node, of) {
  node.className = `avatar tint-${tint(of.id)}`;
  node.classList.toggle("square", of.square === true);
  node.classList.toggle("here", of.here === true);
  node.textContent = of.sign ?? initials(of.name);
}

/** @param {string} id */
function tint(id) {
  let sum = 7;
  for (const char of id) sum = (sum * 31 + (char.codePointAt(0) ?? 0)) % 9973;
  return sum % 8;
}

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** @param {string} name */
function initials(name) {
  const words = name.trim().split(/\s+/u).slice(0, 2);
  return words.map((word) => [...graphemes.segment(word)][0]?.segment ?? "").join("").toUpperCase();
}
