// What may be done with a backend, a route and the instance, and in one sentence what that means.

import { count } from "../words/format.js";
import { backendOrder, reloadOrder, switchOrder } from "./orders.js";

const requests = (number) => `${count(number)} request${number === 1 ? "" : "s"}`;

/** Opens the dialog for what one of the two buttons of a row asks. */
export function askAboutBackend(confirmation, backend, what) {
  const name = `${backend.pool}/${backend.name}`;
  const drain = {
    label: "Drain",
    verb: "Drain",
    text: `${name} gets no new requests; ${requests(backend.active)} under way there may end, and clients with a session stay.`,
    also: "Clients with a session there stay.",
    order: () => backendOrder(backend, { state: "drain" }),
  };
  const maintenance = {
    label: "Maintenance",
    verb: "Take out",
    text: `${name} gets no requests at all, also not of clients with a session, and its health checks do not bring it back.`,
    also: "Health checks do not bring it back; Enable does.",
    order: () => backendOrder(backend, { state: "maintenance" }),
  };
  const enable = {
    label: "Enable",
    verb: "Enable",
    text: `${name} takes its share again as soon as its health allows it.`,
    order: () => backendOrder(backend, { state: "enable" }),
  };
  const weight = {
    label: "Weight…",
    verb: "Set the weight",
    hasWeight: true,
    text: `The share of ${name} follows its weight, which is ${backend.weight} now; 0 takes it out of the choice.`,
    order: (value) => backendOrder(backend, { weight: value }),
  };
  if (what === "drain") confirmation.open(`Drain backend ${name}?`, [drain]);
  else if (what === "enable") confirmation.open(`Enable backend ${name}?`, [enable]);
  else {
    const isHeld = backend.state === "draining" || backend.state === "maintenance";
    confirmation.open(`Change backend ${name}`, [drain, maintenance, enable, weight], {
      weight: backend.weight,
      chosen: isHeld ? 2 : 0,
    });
  }
}

export function askAboutSwitch(confirmation, route) {
  const side = route.switch.active === "blue" ? "green" : "blue";
  const text = `New requests of route ${route.name} go to pool ${route.switch[side]} (${side}) instead of ${route.switch[route.switch.active]} (${route.switch.active}), at once and all of them.`;
  confirmation.open(`Switch route ${route.name} to ${side}?`, [
    { label: side, verb: `Switch to ${side}`, text, order: () => switchOrder(route, side) },
  ]);
}

export function askAboutReload(confirmation, instance) {
  const file = instance.config_file ?? "its configuration";
  confirmation.open("Reload the configuration?", [
    {
      label: "Read the file again",
      verb: "Reload",
      text: `${file} is read again and served by every worker, or nothing changes.`,
      order: () => reloadOrder(instance),
    },
    {
      label: "Go back to the configuration before",
      verb: "Roll back",
      text: "The last configuration that differs from the one that is served now is served again; the file stays as it is.",
      order: () => reloadOrder(instance, { rollback: true }),
    },
  ]);
}
