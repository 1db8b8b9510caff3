// The process's entry point. It is named as SwiftPM names the entry of an executable target,
// because Embedded Swift has no `CommandLine` and a plain `@main` is given no arguments.
import Daemon

@c(sidecar_main)
public func start(
  _ count: Int32, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
) -> Int32 {
  run(count, arguments)
}
