"""Jupyter's own conformance test, and a notebook run by nbclient, against the installed kernel `torchforge`."""
import sys
import unittest

import jupyter_kernel_test
import nbformat
from nbclient import NotebookClient


class Conformance(jupyter_kernel_test.KernelTests):
    kernel_name = "torchforge"
    language_name = "typescript"
    file_extension = ".ts"
    code_hello_world = "console.log('hello, world')"
    code_stderr = "console.error('oops')"
    completion_samples = [
        {"text": "JSON.str", "matches": {"stringify"}},
        {"text": "Math.flo", "matches": {"floor"}},
    ]
    complete_code_samples = ["1", "const x = 1", "function f(x: number) { return x }"]
    incomplete_code_samples = ["function f(x: number) {", "`open", "f(1,"]
    invalid_code_samples = ["const x = )", "1 2 3"]
    code_generate_error = "throw new Error('x')"
    code_execute_result = [
        {"code": "6 * 7", "result": "42"},
        {"code": "'a' + 'b'", "result": "'ab'"},
        {"code": "await Promise.resolve([1])", "result": "[ 1 ]"},
    ]
    code_display_data = [
        {"code": "display({ 'text/html': '<b>x</b>' }, { raw: true })", "mime": "text/html"},
    ]
    code_history_pattern = "6 ?*"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "JSON.stringify"
    code_clear_output = "globalThis[Symbol.for('torchforge.notebook')].clearOutput(false)"


class Welcome(jupyter_kernel_test.IopubWelcomeTests):
    kernel_name = "torchforge"
    support_iopub_welcome = True


class Notebook(unittest.TestCase):
    def test_nbclient(self):
        cells = [
            "const rows: number[] = [1, 2, 3];",
            "console.log('rows', rows.length); rows.map((n) => n * 2)",
            "const rows = 'again'; rows",
            "display({ 'text/markdown': '**x**' }, { raw: true });",
        ]
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells])
        NotebookClient(notebook, kernel_name="torchforge", timeout=60).execute()
        outputs = [cell.outputs for cell in notebook.cells]
        self.assertEqual(outputs[0], [])
        self.assertEqual(outputs[1][0].text, "rows 3\n")
        self.assertEqual(outputs[1][1].data["text/plain"], "[ 2, 4, 6 ]")
        self.assertEqual(outputs[2][0].data["text/plain"], "'again'")
        self.assertEqual(outputs[3][0].data["text/markdown"], "**x**")


if __name__ == "__main__":
    unittest.main(argv=sys.argv, verbosity=2)
