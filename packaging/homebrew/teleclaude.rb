# Homebrew's formula. It gives the single-user daemon: `brew services start teleclaude` runs it as the person who
# typed that. The daemon for all users of a Mac is bin/install-system.sh, which needs root and a service user.
# Until there is a release it builds from a checkout: HOMEBREW_TELECLAUDE_SOURCE=/path/to/it brew install --HEAD ./teleclaude.rb
class Teleclaude < Formula
  desc "AI coding agents as a shared, accountable service for the people of one machine"
  license any_of: ["MIT", "Apache-2.0"]
  head "file://#{ENV.fetch("HOMEBREW_TELECLAUDE_SOURCE", Dir.pwd)}", using: :git, branch: "main"

  depends_on "rust" => :build

  def install
    system "cargo", "install", *std_cargo_args
    generate_completions_from_executable(bin/"teleclaude", "completions", shells: [:bash, :zsh, :fish])
    system bin/"teleclaude", "man", buildpath/"man"
    man1.install Dir[buildpath/"man/*.1"]
    man8.install Dir[buildpath/"man/*.8"]
    pkgshare.install "etc/config.yml", "etc/secrets.yml"
  end

  service do
    run [opt_bin/"teleclaude", "daemon"]
    keep_alive true
    # The agents' commands are looked for on this path.
    environment_variables PATH: std_service_path_env
    log_path var/"log/teleclaude.log"
    error_log_path var/"log/teleclaude.log"
  end

  def caveats
    <<~TEXT
      This daemon is yours alone. For all users of this Mac, each with agents of their own:
        sudo bin/install-system.sh        (from a checkout)
    TEXT
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/teleclaude --version") unless head?
    assert_match "commands", shell_output("#{bin}/teleclaude --help").downcase
    # Exit code 5: no daemon is there.
    shell_output("#{bin}/teleclaude --socket #{testpath}/none.sock whoami", 5)
  end
end
