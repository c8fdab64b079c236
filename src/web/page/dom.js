// Creates elements. A log's values may be hostile, so data becomes only text nodes, or attributes that
// cannot run a script. Nothing in this page parses HTML.

const SVG = 'http://www.w3.org/2000/svg';

/** Creates an element with attributes, listeners (`onclick: f`) and children; strings become text. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === 'function') node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? '' : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Replaces a node's children. If one of them had the focus, an element nearby gets it. */
export function replace(node, ...children) {
  const focused = node.contains(document.activeElement) && document.activeElement !== node;
  const key = focused ? document.activeElement.dataset.key : undefined;
  node.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  if (!focused) return;
  const same = key && [...node.querySelectorAll('[data-key]')].find((it) => it.dataset.key === key);
  const place = same || node.closest('section')?.querySelector('[tabindex="-1"]');
  place?.focus({ preventScroll: true });
}

// Characters that are invisible, or change the order of the text around them.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\u{e0000}-\u{e0fff}]/gu;

/** Returns text whose control characters and direction marks are visible. */
export function visible(text) {
  return String(text).replace(UNSEEN, picture);
}

/** Returns the same for blocks of text, with line breaks and tabs kept. */
export function block(text) {
  return String(text).replace(UNSEEN, (char) => (char === '\n' || char === '\t' ? char : picture(char)));
}

function picture(char) {
  const code = char.codePointAt(0);
  return code < 32 ? String.fromCodePoint(0x2400 + code) : `\\u${code.toString(16).padStart(4, '0')}`;
}

/** Returns a JSON value, or a text that contains JSON (such as a body), laid out over lines. */
export function pretty(value) {
  if (typeof value === 'string') {
    try {
      const parsed = JSON.parse(value);
      if (typeof parsed !== 'object' || parsed === null || !exact(value)) return value;
      return JSON.stringify(parsed, null, 2);
    } catch {
      return value;
    }
  }
  return JSON.stringify(value, null, 2);
}

// A number that JavaScript cannot represent would be shown as another one.
function exact(text) {
  return !/(?<!["\w.])-?\d{16,}/.test(text);
}

/** Announces a text to screen readers. */
export function announce(text) {
  document.getElementById('announcer').textContent = text;
}
