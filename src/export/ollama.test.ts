import assert from "node:assert/strict";
import { test } from "node:test";

import { ChatTemplate } from "../data/index.ts";
import { goTemplate } from "./ollama.ts";

const chatMl =
  "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

test("turns one after another become a template of Ollama's", () => {
  const found = goTemplate(new ChatTemplate(`{{ bos_token }}${chatMl}`, { bosToken: "<s>" }));
  assert.equal(
    found,
    `{{ "<s>" }}{{- range .Messages }}
{{- if eq .Role "system" }}{{ "<|im_start|>system\\n" }}{{ .Content }}{{ "<|im_end|>\\n" }}
{{- else if eq .Role "user" }}{{ "<|im_start|>user\\n" }}{{ .Content }}{{ "<|im_end|>\\n" }}
{{- else if eq .Role "assistant" }}{{ "<|im_start|>assistant\\n" }}{{ .Content }}{{ "<|im_end|>\\n" }}
{{- end }}
{{- end }}{{ "<|im_start|>assistant\\n" }}`,
  );
});

test("templates that do more are left to Ollama", () => {
  // A system turn of its own where there is none; a system turn inside the user's; a role that is refused.
  for (const text of [
    `{% if messages[0].role != "system" %}<|im_start|>system\nYou are kind.<|im_end|>\n{% endif %}${chatMl}`,
    '{% for m in messages %}{% if m.role == "user" %}[INST] {% if loop.index0 == 1 and messages[0].role == "system" %}{{ messages[0].content }}\n\n{% endif %}{{ m.content }} [/INST]{% elif m.role == "assistant" %}{{ m.content }}</s>{% endif %}{% endfor %}',
    '{% for m in messages %}{% if m.role == "system" %}{{ raise_exception("no system") }}{% endif %}{{ m.role }}: {{ m.content }}\n{% endfor %}',
  ])
    assert.equal(goTemplate(new ChatTemplate(text)), undefined);
});
