/** Adds a key to those of last time; false when it is known. Beyond the limit the oldest is forgotten. */
export function remember(keys: Set<string>, key: string, limit: number): boolean {
  if (keys.has(key)) return false;
  keys.add(key);
  if (keys.size > limit) keys.delete(keys.values().next().value!);
  return true;
}
