// Package layout holds the repository to the shape that its design gives it:
// which package may know which, who alone touches AWS, the environment and the
// process, and what lies where. It has tests and nothing else.
package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	module = "keyvend"
	root   = "../.."
)

// Package is what `go list` tells of a package.
type Package struct {
	ImportPath  string
	Name        string
	Dir         string
	Standard    bool
	GoFiles     []string
	Imports     []string
	Deps        []string
	TestImports []string
}

// local is the path inside the module: "pkg/store".
func (p Package) local() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

var listed = sync.OnceValues(func() ([]Package, error) {
	list := exec.Command("go", "list", "-deps", "-json=ImportPath,Name,Dir,Standard,GoFiles,Imports,Deps,TestImports", "./...")
	list.Dir = root
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	var complaint bytes.Buffer
	list.Stderr = &complaint
	out, err := list.Output()
	if err != nil {
		return nil, errors.New("go list: " + complaint.String())
	}
	var packages []Package
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p Package
		switch err := decoder.Decode(&p); {
		case errors.Is(err, io.EOF):
			return packages, nil
		case err != nil:
			return nil, err
		}
		packages = append(packages, p)
	}
})

// own are the packages of this module.
func own(t *testing.T) []Package {
	t.Helper()
	all, err := listed()
	if err != nil {
		t.Fatal(err)
	}
	var mine []Package
	for _, p := range all {
		if p.ImportPath == module || strings.HasPrefix(p.ImportPath, module+"/") {
			mine = append(mine, p)
		}
	}
	if len(mine) < 20 {
		t.Fatalf("go list knows %d packages of this module", len(mine))
	}
	return mine
}

// layers, from the top: a package knows those of lower layers only, and of its
// own layer those that beside names.
var layers = [][]string{
	{"functions", "infra"},
	{"pkg/boot", "pkg/boot/outbox", "pkg/boot/asker", "pkg/boot/checkqueue", "pkg/serve", "pkg/feed", "pkg/trail", "pkg/queue"},
	{
		"pkg/api", "pkg/operator", "pkg/store",
		"pkg/table/dynamo", "pkg/table/dynamo/streams", "pkg/table/bolt", "pkg/seal/awskms", "pkg/seal/localkey",
		"pkg/bus/eventbridge", "pkg/bus/sqs", "pkg/attempt", "pkg/outbound",
	},
	{"pkg/vault"},
	{"pkg/account", "pkg/apikey", "pkg/audit", "pkg/session", "pkg/health", "pkg/event", "pkg/integration", "pkg/removal", "pkg/tenant", "pkg/usage", "pkg/catalog", "pkg/seal", "pkg/table", "pkg/web"},
	{"pkg/ident", "pkg/idempotency", "pkg/secret", "pkg/fault", "pkg/keep", "pkg/paste"},
}

// beside are the imports within a layer.
var beside = map[string][]string{
	"infra":                    {"infra"},
	"pkg/boot":                 {"pkg/feed", "pkg/trail", "pkg/queue"},
	"pkg/boot/outbox":          {"pkg/boot", "pkg/feed"},
	"pkg/boot/asker":           {"pkg/boot"},
	"pkg/boot/checkqueue":      {"pkg/boot"},
	"pkg/table/dynamo/streams": {"pkg/table/dynamo"},
	"pkg/table/dynamo":         {"pkg/attempt"},
	"pkg/seal/awskms":          {"pkg/attempt"},
	"pkg/bus/eventbridge":      {"pkg/attempt"},
	"pkg/bus/sqs":              {"pkg/attempt"},
	"pkg/account":              {"pkg/integration", "pkg/seal"},
	"pkg/removal":              {"pkg/account"},
	"pkg/integration":          {"pkg/catalog", "pkg/tenant"},
	"pkg/tenant":               {"pkg/seal"},
	"pkg/event":                {"pkg/account"},
	"pkg/session":              {"pkg/apikey", "pkg/seal", "pkg/tenant"},
	"pkg/health":               {"pkg/account", "pkg/catalog", "pkg/integration"},
	"pkg/ident":                {"pkg/fault"},
}

// testKits are imported by tests only.
func testKit(local string) bool {
	return strings.HasSuffix(local, "test") || local == "infra/testbed"
}

// layer is where a package stands, and under which name; -1 is nowhere.
func layer(local string) (int, string) {
	for i, names := range layers {
		for _, name := range names {
			if local == name || (i == 0 || testKit(local)) && strings.HasPrefix(local, name+"/") {
				return i, name
			}
		}
	}
	return -1, ""
}

func TestPackagesKnowLowerLayersOnly(t *testing.T) {
	for _, p := range own(t) {
		from, name := layer(p.local())
		if from < 0 {
			t.Errorf("%s stands in no layer: give it its place in this test and in the design", p.local())
			continue
		}
		for _, imported := range p.Imports {
			local, inside := strings.CutPrefix(imported, module+"/")
			if !inside || testKit(p.local()) {
				continue
			}
			to, toName := layer(local)
			if to < from || to == from && !slices.Contains(beside[name], toName) {
				t.Errorf("%s imports %s", p.local(), local)
			}
		}
	}
}

func TestTestKitsAreImportedByTestsOnly(t *testing.T) {
	for _, p := range own(t) {
		for _, imported := range p.Imports {
			if local, inside := strings.CutPrefix(imported, module+"/"); inside && testKit(local) && !testKit(p.local()) {
				t.Errorf("%s imports %s", p.local(), local)
			}
		}
	}
}

// alone are import paths that only some packages may have. Whatever lies under
// infra are tools, not what is deployed.
var alone = map[string][]string{
	"github.com/aws/aws-sdk-go-v2/service/dynamodb":    {"pkg/table/dynamo"},
	"github.com/aws/aws-sdk-go-v2/service/kms":         {"pkg/seal/awskms"},
	"github.com/aws/aws-sdk-go-v2/config":              {"pkg/boot"},
	"github.com/aws/aws-lambda-go":                     {"pkg/serve"},
	"github.com/awslabs/aws-lambda-go-api-proxy":       {"pkg/serve"},
	"go.etcd.io/bbolt":                                 {"pkg/table/bolt"},
	"crypto/hpke":                                      {"pkg/seal"},
	"crypto/ed25519":                                   {"pkg/seal"},
	"crypto/cipher":                                    {"pkg/seal/localkey", "pkg/seal/sealtest"},
	"github.com/aws/aws-sdk-go-v2/service/eventbridge": {"pkg/bus/eventbridge"},
	"github.com/aws/aws-sdk-go-v2/service/sqs":         {"pkg/bus/sqs"},
}

func TestOnePackageKnowsEachOfTheCloudsParts(t *testing.T) {
	for _, p := range own(t) {
		if strings.HasPrefix(p.local(), "infra/") {
			continue
		}
		for _, imported := range p.Imports {
			for guarded, who := range alone {
				if (imported == guarded || strings.HasPrefix(imported, guarded+"/")) && !knows(p.local(), who) {
					t.Errorf("%s imports %s, which is for %v", p.local(), imported, who)
				}
			}
			if strings.HasPrefix(imported, "github.com/aws/") && !knows(p.local(), awsPackages) {
				t.Errorf("%s imports %s", p.local(), imported)
			}
		}
	}
}

var awsPackages = []string{"pkg/table/dynamo", "pkg/seal/awskms", "pkg/bus", "pkg/attempt", "pkg/boot", "pkg/serve"}

func knows(local string, who []string) bool {
	return slices.ContainsFunc(who, func(w string) bool { return local == w || strings.HasPrefix(local, w+"/") })
}

func TestAdaptersDoNotKnowEachOther(t *testing.T) {
	adapters := []string{"pkg/table/dynamo", "pkg/table/bolt", "pkg/seal/awskms", "pkg/seal/localkey", "pkg/bus/eventbridge", "pkg/bus/sqs", "pkg/outbound"}
	for _, p := range own(t) {
		if !slices.Contains(adapters, p.local()) {
			continue
		}
		for _, dep := range p.Deps {
			if local := strings.TrimPrefix(dep, module+"/"); local != p.local() && slices.Contains(adapters, local) {
				t.Errorf("%s depends on %s", p.local(), local)
			}
		}
	}
}

func TestTheDomainKnowsNeitherHTTPNorAWS(t *testing.T) {
	for _, p := range own(t) {
		if at, _ := layer(p.local()); at < 3 || testKit(p.local()) || strings.HasPrefix(p.local(), "infra/") {
			continue
		}
		for _, dep := range p.Deps {
			if dep == "net/http" || strings.HasPrefix(dep, "github.com/aws/") {
				t.Errorf("%s depends on %s", p.local(), dep)
			}
		}
	}
}

// testOnly are modules that no shipped function holds.
var testOnly = []string{
	"pgregory.net/rapid", "github.com/getkin/kin-openapi", "gopkg.in/yaml.v3", "github.com/santhosh-tekuri/jsonschema",
	"golang.org/x/tools", "github.com/rogpeppe/go-internal", "github.com/chromedp", "testing", "net/http/httptest",
}

func TestWhatIsForTestsIsInNoFunction(t *testing.T) {
	functions := 0
	for _, p := range own(t) {
		if !strings.HasPrefix(p.local(), "functions/") {
			continue
		}
		functions++
		for _, dep := range p.Deps {
			local, inside := strings.CutPrefix(dep, module+"/")
			if inside && (testKit(local) || strings.HasPrefix(local, "infra/")) {
				t.Errorf("%s holds %s", p.local(), local)
			}
			if slices.ContainsFunc(testOnly, func(m string) bool { return dep == m || strings.HasPrefix(dep, m+"/") }) {
				t.Errorf("%s holds %s", p.local(), dep)
			}
		}
	}
	if functions == 0 {
		t.Error("there are no functions")
	}
}

// askers are the functions that may ask providers.
var askers = []string{"functions/health", "functions/keys", "functions/providers", "functions/widget"}

func TestOnlyFunctionsThatCheckKeysCanAskProviders(t *testing.T) {
	for _, p := range own(t) {
		if strings.HasPrefix(p.local(), "functions/") && slices.Contains(p.Deps, module+"/pkg/outbound") && !slices.Contains(askers, p.local()) {
			t.Errorf("%s can ask providers", p.local())
		}
	}
}

// dialers are the files that make connections: the guarded one to providers, and
// the SDK's client with other limits.
var dialers = []string{"pkg/outbound/guard.go", "pkg/table/dynamo/attempt.go"}

func TestOnlyTheGuardedDialerGoesWhereSomeoneElseSays(t *testing.T) {
	found := map[string]bool{}
	for _, f := range files(t) {
		if strings.HasPrefix(f.local(), "infra/") || testKit(f.local()) {
			continue
		}
		for range f.names(
			"net.Dial", "net.DialTimeout", "net.DialTCP", "net.DialUDP", "net.DialIP", "net.DialUnix", "net.Dialer", "tls.Dial", "tls.DialWithDialer", "tls.Dialer",
			"http.Get", "http.Head", "http.Post", "http.PostForm", "http.Client", "http.DefaultClient", "http.DefaultTransport", "http.Transport",
		) {
			found[f.String()] = true
		}
	}
	if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, dialers) {
		t.Errorf("dialled in %v", got)
	}
}

// tagged are the source files that the tag of fake providers adds to a build,
// and those that it leaves out.
var tagged = []string{"+pkg/boot/asker/asker_fakeproviders.go", "+pkg/outbound/fake_fakeproviders.go", "-pkg/boot/asker/asker.go"}

func TestTheTagOfFakeProvidersChangesWhatIsNamedAndNothingElse(t *testing.T) {
	list := exec.Command("go", "list", "-tags", "fakeproviders", "-f", `{{$p := .ImportPath}}{{range .GoFiles}}{{$p}}/{{.}}{{"\n"}}{{end}}`, "./functions/...", "./pkg/...")
	list.Dir = root
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	with := strings.Fields(strings.ReplaceAll(string(out), module+"/", ""))
	var without []string
	for _, f := range files(t) {
		if !strings.HasPrefix(f.local(), "infra/") {
			without = append(without, f.String())
		}
	}
	if got := slices.Concat(beyond("+", with, without), beyond("-", without, with)); !slices.Equal(got, tagged) {
		t.Errorf("the tag changes %v", got)
	}
}

// beyond is what a has and b has not, marked.
func beyond(mark string, a, b []string) []string {
	var more []string
	for _, name := range a {
		if !slices.Contains(b, name) {
			more = append(more, mark+name)
		}
	}
	return more
}

// file is a parsed source file that is no test.
type file struct {
	Package
	name   string
	syntax *ast.File
	lines  int
}

func files(t *testing.T) []file {
	t.Helper()
	var all []file
	set := token.NewFileSet()
	for _, p := range own(t) {
		for _, name := range p.GoFiles {
			syntax, err := parser.ParseFile(set, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, file{p, name, syntax, set.File(syntax.Pos()).LineCount()})
		}
	}
	return all
}

func (f file) String() string { return path.Join(f.local(), f.name) }

// calls are the functions of packages that a file names: "os.Getenv".
func (f file) names(qualified ...string) []string {
	var found []string
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && slices.Contains(qualified, x.Name+"."+s.Sel.Name) {
				found = append(found, x.Name+"."+s.Sel.Name)
			}
		}
		return true
	})
	return found
}

func TestOnlyBootReadsTheEnvironment(t *testing.T) {
	for _, f := range files(t) {
		if strings.HasPrefix(f.local(), "infra/") || knows(f.local(), []string{"pkg/boot"}) {
			continue
		}
		for _, name := range f.names("os.Getenv", "os.LookupEnv", "os.Environ", "os.ExpandEnv", "syscall.Getenv") {
			t.Errorf("%s calls %s", f, name)
		}
	}
}

func TestOnlyMainsAndBootEndTheProcess(t *testing.T) {
	for _, f := range files(t) {
		if f.Name == "main" || f.local() == "pkg/boot" || testKit(f.local()) {
			continue
		}
		for _, name := range f.names("os.Exit", "log.Fatal", "log.Fatalf", "log.Fatalln", "log.Panic", "log.Panicf", "log.Panicln", "syscall.Exit", "runtime.Goexit") {
			t.Errorf("%s calls %s", f, name)
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if name, ok := call.Fun.(*ast.Ident); ok && name.Name == "panic" {
					t.Errorf("%s panics", f)
				}
			}
			return true
		})
	}
}

func TestNothingRunsBeforeMain(t *testing.T) {
	for _, f := range files(t) {
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s has an init function", f)
			}
		}
	}
}

func TestAFunctionsMainIsWiringOfAtMost60Lines(t *testing.T) {
	for _, f := range files(t) {
		if !strings.HasPrefix(f.local(), "functions/") {
			continue
		}
		if f.name != "main.go" || f.Name != "main" || strings.Count(f.local(), "/") != 1 {
			t.Errorf("%s: a function is functions/<name>/main.go and nothing else", f)
		}
		if f.lines > 60 {
			t.Errorf("%s has %d lines", f, f.lines)
		}
		for _, imported := range f.Imports {
			if local, inside := strings.CutPrefix(imported, module+"/"); inside && !knows(local, []string{"pkg/boot", "pkg/serve"}) {
				t.Errorf("%s wires %s itself", f, local)
			}
		}
	}
}

func TestNoPackageIsNamedForNothing(t *testing.T) {
	empty := []string{"util", "utils", "common", "types", "models", "helpers", "helper", "misc", "shared", "base", "lib", "interfaces", "internal"}
	for _, p := range own(t) {
		if slices.Contains(empty, p.Name) || slices.Contains(empty, path.Base(p.ImportPath)) {
			t.Errorf("%s says nothing of what it is", p.local())
		}
		if p.Name != "main" && p.Name != path.Base(p.ImportPath) {
			t.Errorf("%s is named %s", p.local(), p.Name)
		}
	}
}

// topLevel is all that lies at the top of the repository, beside dot-files.
var topLevel = []string{
	"functions", "pkg", "infra", "events", "template.yaml", "samconfig.toml", "go.mod", "go.sum", "README.md",
	"Makefile", "LICENSE", "SECURITY.md", "RUNBOOK.md", "CHANGELOG.md", "CONTRIBUTING.md",
}

func TestTheTopLevelIsAsTheDesignSays(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(topLevel, e.Name()) {
			t.Errorf("%s lies at the top of the repository", e.Name())
		}
	}
	for _, name := range topLevel[:9] {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Errorf("%s is missing", name)
		}
	}
}

// Patterns of what no file of the tree holds, split so that this one does not.
var (
	homePath   = regexp.MustCompile(`(?:^|[\s"'=:(])/(?:home|User` + `s|ro` + `ot)/[A-Za-z0-9._-]+`)
	privateKey = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIV` + `ATE KEY|AKIA[0-9A-Z]{16}|aws_secret_access_key\s*=\s*[A-Za-z0-9/+]{40}`)
)

func TestTheTreeHoldsNoPathsOfAMachineAndNoPrivateKeys(t *testing.T) {
	checkout, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && d.Name() != ".github" && name != root):
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if len(text) > 8<<20 {
			t.Errorf("%s has %d bytes", name, len(text))
		}
		if bytes.IndexByte(text[:min(len(text), 8000)], 0) >= 0 {
			return nil // not a text
		}
		if found := homePath.Find(text); found != nil {
			t.Errorf("%s names %s", name, found)
		}
		if bytes.Contains(text, []byte(checkout)) {
			t.Errorf("%s names the folder it was checked out to", name)
		}
		if found := privateKey.Find(text); found != nil {
			t.Errorf("%s holds %.20s…", name, found)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestThePatternsFindWhatTheyAreFor(t *testing.T) {
	for pattern, texts := range map[*regexp.Regexp][]string{
		homePath:   {"cd /" + "home/anna/src", `"/` + `Users/Anna"`, "=/" + "root/.ssh"},
		privateKey: {"-----BEGIN " + "PRIVATE KEY-----", "-----BEGIN EC PRIVATE" + " KEY-----", "AKIA" + "ABCDEFGHIJKLMNOP"},
	} {
		for _, text := range texts {
			if !pattern.MatchString(text) {
				t.Errorf("%q is not found", text)
			}
		}
	}
	if homePath.MatchString("$HOME/.cache or /user_management/users/{id}") {
		t.Error("a route is taken for a home")
	}
}
