// The kinds of columns and rows that the tables of the sections share.

import { clock, count } from "../words/format.js";

export const byOrder = (entries) =>
  Object.entries(entries ?? {})
    .map(([key, value]) => ({ key, ...value }))
    .sort((a, b) => a.order - b.order);
export const byKey = (entries) => Object.entries(entries ?? {}).map(([key, value]) => ({ key, ...value }));
export const newestFirst = (entries) => byKey(entries).sort((a, b) => Number(b.key) - Number(a.key));
export const isoClock = (at) => clock(new Date(at * 1000));
export const breakers = (document) =>
  Object.values(document.backends)
    .filter((backend) => backend.breaker)
    .sort((a, b) => a.order - b.order);

export const name = (title = "Name", note = undefined) => ({
  title,
  isHead: true,
  text: (row) => row.name ?? row.key,
  note,
  sort: (row) => row.name ?? row.key,
});
export const number = (title, of, format = count, more = {}) => ({
  title,
  isNumber: true,
  text: (row) => format(of(row)),
  sort: of,
  ...more,
});
export const words = (title, of, more = {}) => ({ title, text: (row) => of(row) ?? "", ...more });
