// The one file that a page names: <script type="module" src="https://…/widget.js">.
// It is kept for minutes only; what it loads bears a version and is kept for ever.

import "{{assets}}/widget/element.js";
