import js from "@eslint/js";
import globals from "globals";
import { configs } from "typescript-eslint";

export default [
  { ignores: ["dist/"] },
  js.configs.recommended,
  ...configs.strict,
  {
    rules: {
      eqeqeq: "error",
      "no-var": "error",
      "prefer-const": "error",
      "object-shorthand": "error",
      "no-implicit-coercion": "error",
      "@typescript-eslint/no-non-null-assertion": "off", // noUncheckedIndexedAccess asks for it where an index is known
    },
  },
  { files: ["scripts/**/*.js", "*.js"], languageOptions: { globals: globals.node } },
];
