import '../widget.js';
