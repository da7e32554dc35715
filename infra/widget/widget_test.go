package widget_test

// source is where the files lie that are tested here.
const source = "../../pkg/web/files/widget"
