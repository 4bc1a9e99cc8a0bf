<?php
// An app on PHP: what it does with a request is in the path.
[, $what, $much] = explode('/', $_SERVER['REQUEST_URI']) + ['', '', '0'];
if ($what === 'slow') {
    usleep(1000 * (int) $much);
}
echo "ok\n";
