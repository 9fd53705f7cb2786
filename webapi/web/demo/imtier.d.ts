// The types of imtier.js, for the editor and the type check; not served.
export * from "../../../client-js/src/index.js";
