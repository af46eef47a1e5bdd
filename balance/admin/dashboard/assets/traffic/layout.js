// Where the nodes and ribbons of the picture of traffic stand. Pure: takes the document, returns numbers.
//
// Four columns: listeners, routes, pools, backends. Only the busiest of each are shown, the others together as one.

const SHOWN = 8; // of a column
const GAP = 34; // from one node to the next
const WIDEST = 30; // the ribbon of all traffic
const THINNEST = 1.5;
const TOP = 26; // room for the headings
export const COLUMNS = ["Listeners", "Routes", "Pools", "Backends"];
export const WIDTH = 1040;
const BOX = 150; // of a node
const STEP = (WIDTH - BOX) / 3;

/** {height, nodes: [{key, x, y, width, label, rate, isOut}], ribbons: [{key, path, width, isOut}], total}. */
export function layout(document) {
  const columns = [new Map(), new Map(), new Map(), new Map()];
  const links = new Map();
  for (const node of nodesOf(document)) columns[node.column].set(node.key, node);
  for (const [from, to, rate] of linksOf(document)) {
    const key = `${from}\n${to}`;
    links.set(key, { from, to, rate: (links.get(key)?.rate ?? 0) + rate });
  }
  const places = new Map(); // key -> the node that shows it
  const nodes = [];
  let height = 0;
  columns.forEach((column, index) => {
    const shown = busiest([...column.values()], places, index);
    shown.forEach((node, row) => {
      node.x = index * STEP;
      node.y = TOP + row * GAP;
      nodes.push(node);
    });
    height = Math.max(height, TOP + shown.length * GAP);
  });
  const total = sum([...columns[0].values()]);
  return { height: height + 4, nodes, ribbons: ribbons(links, places, total), total };
}

function nodesOf(document) {
  const made = [];
  const add = (column, key, label, rate, order, isOut = false) =>
    made.push({ column, key: `${column} ${key}`, full: key, label, rate: rate ?? 0, order, isOut });
  for (const [key, listener] of Object.entries(document.listeners)) {
    add(0, key, key, listener.rate, listener.order);
    if (!listener.routes) add(1, `${key}/`, "all", listener.rate, listener.order - 1e6); // without routes: all to its pool
  }
  for (const [key, route] of Object.entries(document.routes ?? {})) add(1, key, route.name, route.rate, route.order);
  for (const [key, pool] of Object.entries(document.pools)) add(2, key, key, pool.rate, pool.order, pool.ready === 0);
  for (const [key, backend] of Object.entries(document.backends))
    add(3, key, backend.name, backend.rate, backend.order, backend.out);
  return made;
}

function* linksOf(document) {
  for (const [key, listener] of Object.entries(document.listeners)) {
    if (listener.routes) continue;
    yield [`0 ${key}`, `1 ${key}/`, listener.rate ?? 0];
    if (listener.pool) yield [`1 ${key}/`, `2 ${listener.pool}`, 0];
  }
  for (const [key, route] of Object.entries(document.routes ?? {})) {
    yield [`0 ${route.listener}`, `1 ${key}`, route.rate ?? 0];
    for (const pool of (route.pools ?? "").split(", "))
      if (Object.hasOwn(document.pools, pool)) yield [`1 ${key}`, `2 ${pool}`, 0];
  }
  for (const [key, backend] of Object.entries(document.backends)) yield [`2 ${backend.pool}`, `3 ${key}`, 0];
  for (const [route, backends] of Object.entries(document.flows ?? {})) {
    for (const [key, rate] of Object.entries(backends)) {
      const pool = document.backends[key]?.pool;
      if (pool === undefined) continue; // "-": nobody served it
      yield [`1 ${route}`, `2 ${pool}`, rate];
      yield [`2 ${pool}`, `3 ${key}`, rate];
    }
  }
}

/** The busiest nodes in the order of the configuration, the others as one. */
function busiest(column, places, index) {
  const shown = new Set(
    column.length <= SHOWN ? column : [...column].sort((a, b) => b.rate - a.rate || a.order - b.order).slice(0, SHOWN - 1),
  );
  const ordered = column.filter((node) => shown.has(node)).sort((a, b) => a.order - b.order);
  for (const node of ordered) places.set(node.key, node);
  if (ordered.length < column.length) {
    const rest = column.filter((node) => !shown.has(node));
    const out = rest.filter((node) => node.isOut).length;
    const others = {
      column: index,
      key: `${index}\nothers`,
      label: out ? `${rest.length} others, ${out} out` : `${rest.length} others`,
      full: "others",
      rate: sum(rest),
      order: Infinity,
      isOut: false,
    };
    for (const node of rest) places.set(node.key, others);
    ordered.push(others);
  }
  for (const node of ordered) node.width = BOX;
  return ordered;
}

function ribbons(links, places, total) {
  const merged = new Map();
  for (const { from, to, rate } of links.values()) {
    const [source, target] = [places.get(from), places.get(to)];
    if (!source || !target) continue;
    const key = `${source.key}\n${target.key}`;
    const before = merged.get(key);
    merged.set(key, { key, source, target, rate: (before?.rate ?? 0) + rate });
  }
  const widthOf = (rate) => (rate > 0 && total > 0 ? Math.max((rate / total) * WIDEST, THINNEST) : 1);
  return [...merged.values()].map(({ key, source, target, rate }) => {
    const [x, end] = [source.x + BOX, target.x];
    const [y, down] = [source.y + 14, target.y + 14];
    const bend = (end - x) / 2;
    return {
      key,
      path: `M${round(x)} ${round(y)}C${round(x + bend)} ${round(y)} ${round(end - bend)} ${round(down)} ${round(end)} ${round(down)}`,
      width: round(widthOf(rate)),
      isIdle: !(rate > 0),
      isOut: target.isOut,
    };
  });
}

const sum = (nodes) => nodes.reduce((whole, node) => whole + node.rate, 0);
const round = (value) => Math.round(value * 10) / 10;
