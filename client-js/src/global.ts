// The build for pages without a bundler: everything in one file.
export * from "./index.js";
