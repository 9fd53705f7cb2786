// Names that the scripts share.
import { join } from "node:path";

export const root = join(import.meta.dirname, "..");
export const dist = join(root, "dist");

/** The copy that the demo page loads. It is committed, so that the Go build needs no npm. */
export const demoCopy = join(root, "../webapi/web/demo/imtier.js");
