//! How teleclaude gets onto a machine and stays well there. So far: `doctor`, which looks and changes nothing. The
//! installer is a script (`bin/install-system.sh`), because it runs before anything of ours is there.

pub mod doctor;
