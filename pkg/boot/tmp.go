package boot

const appName = "keyvend"
