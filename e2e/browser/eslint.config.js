import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["webapi/web/demo/imtier.js"] }, // generated, and checked where it comes from
  js.configs.recommended,
  {
    rules: {
      eqeqeq: "error",
      "no-var": "error",
      "prefer-const": "error",
      "object-shorthand": "error",
      "no-implicit-coercion": "error",
      // Text from users must never become markup.
      "no-restricted-properties": [
        "error",
        { property: "innerHTML" },
        { property: "outerHTML" },
        { property: "insertAdjacentHTML" },
        { object: "document", property: "write" },
      ],
      "no-eval": "error",
      "no-implied-eval": "error",
    },
  },
  { files: ["webapi/web/**/*.js"], languageOptions: { globals: globals.browser } },
  { files: ["e2e/browser/**/*.js"], languageOptions: { globals: { ...globals.node, ...globals.browser } } },
];
