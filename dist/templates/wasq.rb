# Made by `cargo xtask dist`.
class Wasq < Formula
  desc "{description}"
  homepage "{repository}"
  version "{version}"
  license {license}

  depends_on :linux

  on_linux do
    {archives}
  end

  def install
    bin.install "wasq"
    bash_completion.install "completions/wasq.bash" => "wasq"
    zsh_completion.install "completions/_wasq"
    fish_completion.install "completions/wasq.fish"
    man1.install Dir["man/man1/*.1"]
    pkgshare.install "schemas"
    doc.install "THIRD-PARTY.md"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/wasq -V")
  end
end
