/** Whether an address is within a client's allow list, by the same rules as the server's. */

const IPV4_BITS = 32;
const IPV6_BITS = 128;
const MAPPED = 0xffffn << 32n;

interface Address {
  readonly bits: number;
  readonly value: bigint;
}

export function isWithin(address: string, networks: readonly string[]): boolean {
  const asked = parseAddress(address);
  if (!asked) return true; // nothing is known about it, so nothing is claimed
  return networks.some((network) => contains(network, asked));
}

function contains(network: string, { bits, value }: Address): boolean {
  const [base = "", length] = network.split("/");
  const start = parseAddress(base);
  if (start?.bits !== bits) return false;
  const free = BigInt(bits - Math.min(bits, Number(length ?? bits)));
  return start.value >> free === value >> free;
}

function parseAddress(text: string): Address | null {
  if (!text.includes(":")) {
    const value = parseIPv4(text);
    return value === null ? null : { bits: IPV4_BITS, value };
  }
  const value = parseIPv6(text);
  if (value === null) return null;
  // A dual-stack socket reports an IPv4 address as ::ffff:192.0.2.1.
  return value >> 32n === MAPPED >> 32n ? { bits: IPV4_BITS, value: value & 0xffffffffn } : { bits: IPV6_BITS, value };
}

function parseIPv4(text: string): bigint | null {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256)) return null;
  return parts.reduce((value, part) => value * 256n + BigInt(part), 0n);
}

function parseIPv6(text: string): bigint | null {
  const [head = "", tail, ...more] = text.split("::");
  if (more.length > 0) return null;
  const [before, after] = [groupsIn(head), groupsIn(tail ?? "")];
  if (!before || !after) return null;
  const missing = 8 - before.length - after.length;
  if (tail === undefined ? missing !== 0 : missing < 1) return null;
  const groups = [...before, ...Array<bigint>(missing).fill(0n), ...after];
  return groups.reduce((value, group) => (value << 16n) + group, 0n);
}

function groupsIn(text: string): bigint[] | null {
  if (text === "") return [];
  const groups: bigint[] = [];
  for (const part of text.split(":")) {
    const ipv4 = part.includes(".") ? parseIPv4(part) : null;
    if (ipv4 !== null) groups.push(ipv4 >> 16n, ipv4 & 0xffffn);
    else if (/^[0-9a-f]{1,4}$/i.test(part)) groups.push(BigInt(`0x${part}`));
    else return null;
  }
  return groups;
}
